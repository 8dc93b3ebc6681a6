//! runtime.json of a unit in the layout of LinuxKit's images (its docs/yaml.md,
//! "runtime"): what is done around the container, outside of it.

use super::config::Mount;
use super::record::{List, Strictness, check};
use crate::error::Result;
use crate::json::{Document, Text as Str};
use crate::record;

type Text = Str<'static>;

record! {
    /// The whole of it.
    Runtime {
        /// Made before the container is, in the root of the system.
        mounts "mounts": List<'static, Mount<'static>>;
        mkdir "mkdir": List<'static, Text>;
        /// Paths of cgroups to make.
        cgroups "cgroups": List<'static, Text>;
        /// Network devices moved into the container or made there.
        interfaces "interfaces": List<'static, Interface<'static>>;
        /// Where the container's namespaces are kept.
        bind_ns "bindNS": BindNs<'static>;
        /// Of containerd's: nothing here has such ones.
        namespace "namespace": Text;
    }
}

record! {
    /// A path for each namespace that is to be found there.
    BindNs {
        cgroup "cgroup": Text;
        ipc "ipc": Text;
        mnt "mnt": Text;
        net "net": Text;
        pid "pid": Text;
        user "user": Text;
        uts "uts": Text;
    }
}

record! {
    /// A network device: one that is there, or one to make.
    Interface {
        name "name": Text, Required;
        /// The type of one to make.
        add "add": Text, Later;
        peer "peer": Text, Later;
        create_in_root "createInRoot": bool;
    }
}

/// The runtime.json that `document` is.
///
/// # Errors
/// The first thing that is wrong, or not carried out by this version, and where.
pub fn load<'a>(document: &'a Document<'a>) -> Result<Runtime<'a>> {
    check(document.root(), &<Runtime<'static> as super::record::Shape>::FORM, Strictness::Supported)?;
    Ok(Runtime::view(document.root()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_is_carried_out_and_what_is_not() {
        for (text, error) in [
            ("{}", None),
            ("{\"mkdir\":[\"/a\"],\"cgroups\":[\"podruntime\"],\"bindNS\":{\"net\":\"/run/netns/x\"}}", None),
            ("{\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],\"later\":1}", None),
            ("{\"interfaces\":[]}", None),
            ("{\"interfaces\":[{\"name\":\"eth0\"}]}", None),
            (
                "{\"interfaces\":[{\"name\":\"wg0\",\"add\":\"wireguard\"}]}",
                Some("runtime.json:1:36: interfaces[0].add: "),
            ),
            ("{\"mkdir\":\"/a\"}", Some("runtime.json:1:10: mkdir: ")),
        ] {
            let document = Document::of("runtime.json", text.as_bytes()).unwrap();
            match (load(&document), error) {
                (Ok(_), None) => {}
                (Err(found), Some(error)) => assert!(found.to_string().starts_with(error), "{found}"),
                (found, _) => panic!("{text}: {:?}", found.err()),
            }
        }
    }
}
