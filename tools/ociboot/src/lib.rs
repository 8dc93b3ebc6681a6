//! Builds images that boot straight into containers with ocinit as their init,
//! and boots them. [`pack`] makes them out of bundles and container images,
//! [`modules`] finds the kernel modules they need. What the image says to ocinit
//! and how is written down in docs/boot.md.

pub mod modules;
pub mod pack;
