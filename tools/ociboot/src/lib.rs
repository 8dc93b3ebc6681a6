//! Builds images that boot straight into containers with ocinit as their init,
//! and boots them. [`pack`] makes them out of bundles and container images,
//! [`modules`] finds the kernel modules they need. [`run`] boots them in QEMU with
//! the [`kernel`] there is. What the image says to ocinit
//! and how is written down in docs/boot.md.

pub mod kernel;
pub mod modules;
pub mod pack;
mod progress;
pub mod run;
pub mod signals;
