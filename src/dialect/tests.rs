//! Golden and property tests of the room.
