//! `engines`: what people do with an engine, once with runc below it and once with
//! ocinit. Nothing is expected of either but that both come to the same.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::dist::dist;
use crate::shell::{find, install, need_root, output};

/// An engine: its name, the programs that it takes, and shell text that starts it
/// and defines `e`, its command line with `$RUNTIME` below it, `clean` and `stop`.
const ENGINES: [(&str, &[&str], &str); 2] = [
    (
        "podman",
        &["podman", "conmon"],
        r#"
e() { command podman --root $W/root --runroot $W/run --tmpdir $W/tmp --cgroup-manager cgroupfs \
    --events-backend file --runtime $RUNTIME "$@"; }
clean() { e rm -f -t 0 -a; }
stop() { clean; umount $W/root/overlay; rmdir /sys/fs/cgroup/libpod_parent/conmon /sys/fs/cgroup/libpod_parent; }
# Without controllers there are no limits; and not all machines allow podman's own rlimits.
[ -n "$PURE" ] || limits="pids_limit = 0"
cat >$W/containers.conf <<.
[containers]
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
$limits
.
export CONTAINERS_CONF=$W/containers.conf
e import -q $W/box.tar box
"#,
    ),
    (
        "docker",
        &["dockerd", "containerd", "docker"],
        r#"
export DOCKER_HOST=unix://$W/docker.sock
cat >$W/containerd.toml <<.
version = 2
root = "$W/containerd"
state = "$W/containerd.run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$W/containerd.sock"
.
containerd --config $W/containerd.toml >$W/containerd.log 2>&1 & containerd=$!
until [ -S $W/containerd.sock ]; do kill -0 $! && sleep 0.2 || exit; done
dockerd --containerd $W/containerd.sock --data-root $W/docker --exec-root $W/docker.run --pidfile $W/pid \
    -H $DOCKER_HOST --iptables=false --ip6tables=false --bridge=none --add-runtime below=$RUNTIME \
    >$W/dockerd.log 2>&1 & dockerd=$!
until [ -S $W/docker.sock ]; do kill -0 $! && sleep 0.2 || exit; done
e() { case $1 in run) shift; docker run --runtime below "$@" ;; *) docker "$@" ;; esac; }
clean() { docker ps -aq | xargs -r docker rm -f; }
stop() { clean; kill $dockerd; wait $dockerd; kill $containerd; wait $containerd; rmdir /sys/fs/cgroup/docker; }
docker import $W/box.tar box
"#,
    ),
];

/// What is done: a name, and shell text in which `e` is the engine. `$W` is a folder.
const CASES: &[(&str, &str)] = &[
    ("run", "e run --rm box sh -c 'echo out; exit 7'"),
    ("run, with input", "echo in | e run --rm -i box cat"),
    ("run, with a terminal", "export -f e; script -qec \"bash -c 'e run --rm -it box tty'\" /dev/null"),
    ("logs", "e run -d --name c box sh -c 'echo a; exit 3' >/dev/null; e wait c; e logs c"),
    ("exec", "$SLEEP; e exec -u u -w /tmp -e A=b c sh -c 'id -u; pwd; echo $A; exit 5'"),
    ("exec: no such program", "$SLEEP; e exec c nothing 2>/dev/null"),
    ("exec: a folder", "$SLEEP; e exec c /etc 2>/dev/null"),
    ("exec: no such folder", "$SLEEP; e exec -w /nowhere c pwd 2>/dev/null"),
    ("no such program", "e run --rm box nothing 2>/dev/null"),
    ("not executable", "e run --rm box /etc/passwd 2>/dev/null"),
    ("a folder", "e run --rm box /etc 2>/dev/null"),
    (
        "stop",
        "e run -d --name c box sh -c 'trap \"exit 9\" TERM; while :; do sleep 0.1; done' >/dev/null
        sleep 1; e stop c; e wait c",
    ),
    ("kill", "$SLEEP; e kill c; e wait c"),
    (
        "pause",
        "$SLEEP; e pause c >/dev/null; e inspect -f '{{.State.Status}}' c; e unpause c >/dev/null; e exec c echo awake",
    ),
    ("top", "$SLEEP; e top c | grep -c sleep"),
    ("read-only", "e run --rm --read-only box touch /x"),
    (
        "volume",
        "mkdir -p $W/v; e run --rm -v $W/v:/v box sh -c 'echo a >/v/f'; cat $W/v/f; e run --rm -v $W/v:/v:ro box touch /v/g",
    ),
    (
        "propagation",
        "mkdir -p $W/v; for p in private rshared rslave; do e run --rm -v $W/v:/v:$p box \
        sh -c 'grep \" /v \" /proc/self/mountinfo | cut -d\" \" -f7 | tr -d 0-9'; done",
    ),
    ("tmpfs", "e run --rm --tmpfs /t:size=64k,mode=1700 box sh -c 'df -k /t | tail -n 1; stat -c %a /t'"),
    (
        "capabilities",
        "for c in '' '--cap-drop all --cap-add net_admin' '-u u'; do e run --rm $c box grep Cap /proc/self/status; done",
    ),
    ("seccomp", "e run --rm box sh -c 'grep Seccomp: /proc/self/status; unshare -m true'"),
    ("no-new-privileges", "e run --rm --security-opt no-new-privileges box grep NoNew /proc/self/status"),
    ("masked paths", "e run --rm box sh -c 'wc -c </proc/keys; ls -A /sys/firmware | wc -l; touch /proc/sys/kernel/x'"),
    ("sysctl", "e run --rm --net none --sysctl kernel.msgmax=9000 box cat /proc/sys/kernel/msgmax"),
    ("ulimit", "e run --rm --ulimit nofile=123:456 --ulimit nproc=99:99 box sh -c 'ulimit -Sn; ulimit -Hn'"),
    (
        "device",
        "e run --rm --device /dev/fuse:/dev/mine:r box sh -c 'ls -l /dev/mine | cut -c1-10; echo >/dev/mine' 2>/dev/null",
    ),
    ("pid of another", "$SLEEP; e run --rm --pid container:c box ps -o args | grep -c sleep"),
    (
        "pid of the host",
        "e run -d --name c --pid host box sh -c 'sleep 98765 & sleep 98765' >/dev/null; sleep 1; clean >/dev/null
        sleep 1; pgrep -fx 'sleep 98765' | wc -l",
    ),
    ("user, groups", "e run --rm -u u --group-add 3000 box id"),
    (
        "limits",
        "[ -z \"$PURE\" ] || e run --rm --memory 32m --cpus 0.25 --pids-limit 7 box \
        sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'",
    ),
    (
        "out of memory",
        "[ -z \"$PURE\" ] || { e run --name c --memory 16m --memory-swap 16m box tail /dev/zero; echo $?
        e inspect -f '{{.State.OOMKilled}}' c; }",
    ),
    ("user namespace", "[ $ENGINE = docker ] || e run --rm --uidmap 0:100000:65536 box cat /proc/self/uid_map"),
];

/// Where the machine's cgroup tree is not v2 alone, the v2 part of it in its place,
/// seen by the engine only.
const PLACE: &str = r#"
mount --make-rprivate /
if [ -z "$PURE" ]; then umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; fi
mount --make-rshared /
SLEEP='eval e run -d --name c box sleep 100 >/dev/null'
exec 2>&1
"#;

pub fn engines(filter: Option<&str>) -> Result<()> {
    need_root("engines")?;
    install(&[("busybox", "busybox-static"), ("runc", "runc")])?;
    let (ocinit, _) = dist()?;
    let runc = find("runc")?;
    let mut different = 0;
    for (name, programs, start) in ENGINES {
        if let Some(missing) = programs.iter().find(|program| find(program).is_err()) {
            println!("{name}: skipped: there is no {missing} here");
            continue;
        }
        println!("{name}: {}", output(Command::new(programs[0]).arg("--version"))?.trim());
        let cases = CASES.iter().filter(|(case, _)| filter.is_none_or(|filter| case.contains(filter)));
        let cases: Vec<_> = cases.collect();
        let said = [&runc, &ocinit].map(|runtime| walk(name, start, runtime, &cases));
        let [theirs, ours] = said;
        for (((case, _), theirs), ours) in cases.iter().zip(theirs?).zip(ours?) {
            if theirs == ours {
                println!("  same       {case}");
            } else {
                different += 1;
                println!("  DIFFERENT  {case}\n--- runc\n{theirs}\n--- ocinit\n{ours}\n---");
            }
        }
    }
    ensure!(different == 0, "{different} cases are different");
    Ok(())
}

/// All cases with one runtime: what each says, and its status.
fn walk(engine: &str, start: &str, runtime: &Path, cases: &[&(&str, &str)]) -> Result<Vec<String>> {
    const MARK: &str = "\u{1}";
    let folder = tempfile::Builder::new().prefix("ocinit-engine-").tempdir()?;
    let root = folder.path().join("box");
    bundle::busybox_root(&root)?;
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\nu:x:1000:1000:u:/:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\nu:x:1000:\nmore:x:2000:u\n")?;
    output(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(folder.path().join("box.tar")).arg("."))?;
    let mut script = format!("{PLACE}{start}");
    for (_, case) in cases {
        script += &format!("printf '{MARK}'\n({case}\n) </dev/null\necho \"= $?\"\nclean >/dev/null 2>&1\n");
    }
    script += &format!("printf '{MARK}'; stop");
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-c", &script]).env("W", folder.path()).env("RUNTIME", runtime).env("ENGINE", engine);
    command.env("PURE", if bundle::pure_cgroup2() { "yes" } else { "" });
    let said = command.output().context("cannot run unshare")?;
    let said = String::from_utf8_lossy(&said.stdout).replace(['\r', '\u{8}'], "");
    // What `script` shows of the end of its own input comes before or after the rest.
    let said = said.replace("^@", "").replace(&*runtime.to_string_lossy(), "RUNTIME");
    let parts: Vec<String> = said.split(MARK).skip(1).map(|part| part.trim().to_owned()).collect();
    ensure!(parts.len() == cases.len() + 1, "{engine} does not work here:\n{said}");
    Ok(parts[..cases.len()].to_vec())
}
