//! The network of a namespace: its devices, their addresses, its routes. Knows
//! nothing of whose it is.

mod address;
pub mod configure;
pub mod devices;
pub mod dhcp;
mod link;
mod loopback;
mod netlink;
mod rtnetlink;

pub use loopback::bring_up as bring_loopback_up;
