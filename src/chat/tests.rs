//! The rules as tables: what goes in, and the effects that come out, in order, in words.

mod commands;
mod failures;
mod lifecycle;
mod net;
mod resume;
mod told;
mod world;
