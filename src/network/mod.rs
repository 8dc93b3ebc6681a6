//! The network of a namespace. Knows nothing of whose it is.

mod loopback;

pub use loopback::bring_up as bring_loopback_up;
