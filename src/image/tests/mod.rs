//! Images on devices in memory, with a server that does as it is told.

mod allocation;
mod fake;
mod flush;
mod mapping;
mod merge;
mod model;
mod races;
mod rules;
mod times;
