//! Referees, and those who would cheat with them.
