//! Which sysctls a container may set: those whose value belongs to one of its
//! own namespaces. All others are the host's (R15: `kernel.core_pattern` is a
//! program that the host runs as root).

use core::ffi::CStr;

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::record::Map;

/// Which namespaces are not the host's.
#[derive(Clone, Copy)]
pub struct Isolation {
    pub ipc: bool,
    pub network: bool,
    pub uts: bool,
}

/// Checks the names of `linux.sysctl`.
///
/// # Errors
/// With the place: one that is none, not namespaced, or of a namespace that is
/// the host's.
pub fn check(sysctls: Map<'_, Text<'static>>, isolation: Isolation) -> Result<()> {
    let mut buffer = [0; limits::SYSCTL];
    for (name, _) in sysctls.iter() {
        let path = path(name, &mut buffer)?.to_bytes();
        let namespace = match path.strip_prefix(b"sys/".as_slice()).unwrap_or(path) {
            b"kernel/msgmax"
            | b"kernel/msgmnb"
            | b"kernel/msgmni"
            | b"kernel/sem"
            | b"kernel/shmall"
            | b"kernel/shmmax"
            | b"kernel/shmmni"
            | b"kernel/shm_rmid_forced" => ("IPC", isolation.ipc),
            b"kernel/hostname" => return Err(name.error(format_args!("is set by \"hostname\""))),
            b"kernel/domainname" => ("UTS", isolation.uts),
            other if other.starts_with(b"fs/mqueue/") => ("IPC", isolation.ipc),
            other if other.starts_with(b"net/") => ("network", isolation.network),
            _ => return Err(name.error(format_args!("is not namespaced: it would change the host"))),
        };
        if !namespace.1 {
            return Err(name.error(format_args!("needs a {} namespace other than the host's", namespace.0)));
        }
    }
    Ok(())
}

/// The file of the sysctl below /proc: `sys/net/ipv4/ip_forward`.
///
/// Names are written as sysctl(8) takes them: with dots, where a slash stands
/// for a dot inside a name (`net.ipv4.conf.eth0/1.forwarding`); or, if the
/// first separator is a slash, with slashes.
///
/// # Errors
/// With the place: too long, or a component that is empty, `.` or `..`.
pub fn path<'b>(name: Text<'_>, buffer: &'b mut [u8; limits::SYSCTL]) -> Result<&'b CStr> {
    const PREFIX: &[u8] = b"sys/";
    let (prefix, rest) = buffer.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    let length = name.c_str(rest)?.to_bytes().len();
    let bytes = rest.get_mut(..length).unwrap_or(&mut []);
    if bytes.iter().find(|byte| matches!(byte, b'.' | b'/')) == Some(&b'.') {
        for byte in bytes.iter_mut() {
            *byte = match *byte {
                b'.' => b'/',
                b'/' => b'.',
                other => other,
            };
        }
    }
    // After the swap, which makes dots too.
    if bytes.split(|byte| *byte == b'/').any(|component| matches!(component, b"" | b"." | b"..")) {
        return Err(name.error(format_args!("is not the name of a sysctl")));
    }
    CStr::from_bytes_until_nul(buffer).map_err(|_| name.error(format_args!("no room for it")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::spec::linux::Linux;
    use std::format;
    use std::string::ToString;

    const OWN: Isolation = Isolation { ipc: true, network: true, uts: true };
    const HOST: Isolation = Isolation { ipc: false, network: false, uts: false };

    fn with(name: &str, isolation: Isolation) -> Result<std::string::String, std::string::String> {
        let json = format!("{{\"sysctl\": {{\"{name}\": \"1\"}}}}");
        let document = Document::parse("c", json.as_bytes()).unwrap();
        let sysctls = Linux::view(document.root()).sysctl();
        check(sysctls, isolation).map_err(|error| error.to_string())?;
        let mut buffer = [0; limits::SYSCTL];
        let (name, _) = sysctls.iter().next().unwrap();
        Ok(path(name, &mut buffer).unwrap().to_str().unwrap().to_string())
    }

    #[test]
    fn names_become_paths() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "sys/net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "sys/net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shm_rmid_forced", "sys/kernel/shm_rmid_forced"),
            ("fs.mqueue.msg_max", "sys/fs/mqueue/msg_max"),
            ("kernel.domainname", "sys/kernel/domainname"),
        ] {
            assert_eq!(with(name, OWN).as_deref(), Ok(expected));
            assert!(with(name, HOST).unwrap_err().ends_with("namespace other than the host's"), "{name}");
        }
    }

    #[test]
    fn the_hosts_own_are_refused() {
        let long = "net.".to_string() + &"x".repeat(limits::SYSCTL);
        for name in [
            "kernel.core_pattern",
            "kernel.hostname",
            "user.max_user_namespaces",
            "vm.overcommit_memory",
            "kernel.shmmax.x",
            "network.x",
            "fs.mqueue",
            "net",
            "net.",
            "",
            ".net.x",
            "/net/x",
            "net..x",
            "net.//.kernel.core_pattern",
            "net/../kernel/core_pattern",
            "net/./x",
            "kernel/shmmax/",
            long.as_str(),
        ] {
            let error = with(name, OWN).unwrap_err();
            assert!(error.starts_with("c:1:13: sysctl"), "{name}: {error}");
        }
    }
}
