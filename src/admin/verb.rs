//! What operators do, one function a verb: the API's operations and the command line on the state directory both call it, so that neither
//! has a way of its own. Each takes a [`Site`](super::Site) and gives what is shown.

pub mod releases;
pub mod rules;
