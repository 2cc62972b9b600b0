//! The part of WASI 0.2 that is not HTTP: streams, waiting, clocks, random numbers, and the empty
//! remains of a command line. Nothing here is made before a guest asks for it.

pub(crate) mod cli;
mod host;
pub(crate) mod io;
pub(crate) mod shut;
