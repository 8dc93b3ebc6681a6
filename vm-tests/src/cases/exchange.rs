//! What goes into a guest and comes out of it.

use std::fs::{self, File};
use std::io::Read;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ociboot::run::artifacts::Artifact;
use ociboot::run::outcome::{Kind, Outcome};
use ociboot::run::shares::{Protocol, Share};

use crate::case::Skip;
use crate::context::{Context, words};

cases!("exchange":
    a_mebibyte_through_the_streams,
    long_and_odd_arguments,
    artifacts_of_a_failing_command,
    artifacts_take_their_time,
    a_share,
    a_network,
);

fn a_mebibyte_through_the_streams(context: &Context) -> Result<()> {
    let mut random = vec![0; 1 << 20];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let path = context.folder.join("random");
    fs::write(&path, &random)?;
    let mut options = context.options();
    options.command = Some(words(&["sh", "-c", "tee /dev/stderr"]));
    let ended = context.boot_with(&context.root()?, &options, Some(File::open(path)?))?;
    ended.expect(&Outcome::Exit(0))?;
    for (name, bytes) in [("output", &ended.stdout), ("error", &ended.stderr)] {
        let differs = bytes.iter().zip(&random).position(|(a, b)| a != b);
        ensure!(*bytes == random, "standard {name} has {} bytes and differs from {differs:?} on", bytes.len());
    }
    Ok(())
}

fn long_and_odd_arguments(context: &Context) -> Result<()> {
    let odd = ["", " ", "a b", "\"", "'", "\\", "line\nbreak", "$HOME", "--", "ocinit.timeout=1", "ü€😀", "\u{1}\t\r"];
    let mut expected: Vec<String> = odd.map(String::from).to_vec();
    let mut length: usize = expected.iter().map(|word| word.len() + 1).sum();
    while length < 64 << 10 {
        let word = format!("{length} \"quoted\" and\nbroken '{}'", "x".repeat(length % 500));
        length += word.len() + 1;
        expected.push(word);
    }
    let mut options = context.options();
    let mut command = words(&["sh", "-c", "printf '%s\\0' \"$@\"; printf '%s' \"$ODD\"", "sh"]);
    command.extend(expected.iter().map(Into::into));
    options.command = Some(command);
    options.environment = vec!["ODD=a \"b\"\n'c' d=e".into()];
    let ended = context.boot(&context.root()?, &options)?;
    let text: String = expected.iter().map(|word| format!("{word}\0")).collect();
    ended.expect(&Outcome::Exit(0))?.expect_stdout(&format!("{text}a \"b\"\n'c' d=e"))?;
    Ok(())
}

fn artifacts_of_a_failing_command(context: &Context) -> Result<()> {
    let host = context.folder.join("out");
    let mut options = context.options();
    let artifact = |guest: &str, place: &str| Artifact { guest: guest.into(), host: host.join(place) };
    options.artifacts =
        vec![artifact("/tmp/log", "log.txt"), artifact("/tmp/tree", "tree"), artifact("/tmp/gone", "gone")];
    let script = "cd /tmp; echo text >log; mkdir -p tree/a/b; head -c 300000 /dev/zero >tree/a/b/zeroes; \
        ln -s ../../../../../etc/passwd tree/link; chmod 700 tree/a/b/zeroes; exit 9";
    let ended = context.script(&mut options, script)?;
    ended.expect(&Outcome::Exit(9))?;
    ensure!(fs::read(host.join("log.txt")).context("the file did not come")? == b"text\n", "the file is another");
    let zeroes = fs::read(host.join("tree/a/b/zeroes")).context("the folder did not come")?;
    ensure!(zeroes == vec![0; 300_000], "the file in the folder has {} bytes", zeroes.len());
    let link = fs::read_link(host.join("tree/link"))?;
    ensure!(link.ends_with("etc/passwd"), "the link leads to {}", link.display());
    ensure!(!host.join("gone").exists(), "there is a file that was not there");
    let remarks = ended.report.remarks();
    ensure!(remarks.iter().any(|remark| remark.contains("/tmp/gone")), "the remarks are {remarks:?}");
    Ok(())
}

fn artifacts_take_their_time(context: &Context) -> Result<()> {
    let host = context.folder.join("large");
    let mut options = context.options();
    options.artifacts = vec![Artifact { guest: "/tmp/large".into(), host: host.clone() }];
    // Longer than the command may take.
    options.limits.run = Some(Duration::from_secs(4));
    let ended = context.script(&mut options, "truncate -s 250M /tmp/large; exit 7")?;
    ended.expect(&Outcome::Exit(7))?;
    let size = fs::metadata(&host)?.len();
    ensure!(size == 250 << 20, "{size} bytes came; the remarks are {:?}", ended.report.remarks());
    let time = |fits: fn(&Kind) -> bool| ended.report.seen.events.iter().find(|event| fits(&event.kind));
    let exited = time(|kind| matches!(kind, Kind::Exited { .. })).context("its end was not told")?.us;
    let outcome = time(|kind| matches!(kind, Kind::Outcome(_))).context("no outcome was told")?.us;
    if outcome - exited < 4_000_000 {
        bail!(Skip("this machine copies faster than the case takes".into()));
    }
    Ok(())
}

fn a_share(context: &Context) -> Result<()> {
    let protocol = Protocol::choose(&context.setup.kernel).map_err(|why| Skip(format!("{why:#}")))?;
    if protocol == Protocol::Virtiofs && !rustix::process::geteuid().is_root() {
        bail!(Skip("virtiofsd needs root".into()));
    }
    let shared = context.folder.join("shared");
    fs::create_dir(&shared)?;
    fs::write(shared.join("in"), "from the host\n")?;
    let mut options = context.options();
    options.shares = vec![Share { host: shared.clone(), guest: "/mnt/shared".into(), read_only: false }];
    let ended = context.script(&mut options, "cat /mnt/shared/in && echo from the guest >/mnt/shared/out")?;
    ended.expect(&Outcome::Exit(0))?.expect_stdout("from the host\n")?;
    let text = fs::read_to_string(shared.join("out")).context("nothing came back")?;
    ensure!(text == "from the guest\n", "{text:?} came back");
    Ok(())
}

fn a_network(context: &Context) -> Result<()> {
    let mut options = context.options();
    options.network = true;
    // QEMU's user network gives the first guest this address.
    let ended = context.script(
        &mut options,
        "ip -4 addr | grep -o 'inet 10[^ ]*'; ip route | grep -o 'default via [^ ]*'; \
            grep nameserver /etc/resolv.conf; ! echo x 2>&- >/etc/resolv.conf",
    )?;
    let expected = "inet 10.0.2.15/24\ndefault via 10.0.2.2\nnameserver 10.0.2.3\n";
    ended.expect(&Outcome::Exit(0))?.expect_stdout(expected)?;
    Ok(())
}
