//! The configuration to start from that `ocinit spec` writes.

/// What `runc spec` writes, with a cgroup namespace as it does where cgroups
/// are of version 2: a shell on a terminal, few capabilities, a root that is
/// read-only.
pub const DOCUMENT: &str = include_str!("default_config.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::spec::config::Config;
    use crate::spec::record::{Shape, Strictness, check};

    #[test]
    fn it_is_what_this_version_takes() {
        let document = Document::parse("config.json", DOCUMENT.as_bytes()).unwrap();
        check(document.root(), &Config::FORM, Strictness::Supported).unwrap();
        assert!(DOCUMENT.ends_with("}\n"));
    }
}
