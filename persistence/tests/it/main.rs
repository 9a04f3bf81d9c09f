//! The log as its users see it: over a disk that crashes, over files, under its driver.

mod model;
