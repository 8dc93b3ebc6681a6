//! Each way in which a guest can end has its own outcome and status.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ociboot::run::outcome::Outcome;
use ociboot::run::watch::Phase;

use crate::context::{Context, Ended};

cases!("endings":
    killed,
    out_of_memory,
    out_of_memory_before,
    a_memory_too_small_for_the_image,
    out_of_time,
    no_such_command,
    not_executable,
    a_panic_while_running,
    an_init_that_ends,
    an_init_that_hangs,
    a_kernel_that_says_nothing,
    no_kernel_at_all,
);

fn status(ended: &Ended, status: u8) -> Result<()> {
    let found = ended.report.outcome().status();
    ensure!(found == status, "the status is {found}, not {status}");
    Ok(())
}

fn killed(context: &Context) -> Result<()> {
    // The first process of a pid namespace cannot be killed from inside.
    let mut config = context.config("kill -KILL $$")?;
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "pid");
    }
    let bundle = context.bundle("bundle", &config)?;
    let ended = context.boot(&bundle, &context.options())?;
    status(ended.expect(&Outcome::Signal(9))?, 137)
}

fn out_of_memory(context: &Context) -> Result<()> {
    let mut options = context.options();
    options.memory = 160;
    status(context.script(&mut options, "echo before; exec tail /dev/zero")?.expect(&Outcome::Oom)?, 137)
}

fn out_of_memory_before(context: &Context) -> Result<()> {
    // It is another that the kernel kills; the first process is killed later, by itself.
    let mut config = context.config("tail /dev/zero; echo survived; sleep 1; kill -KILL $$")?;
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "pid");
    }
    let mut options = context.options();
    options.memory = 160;
    let ended = context.boot(&context.bundle("bundle", &config)?, &options)?;
    status(ended.expect(&Outcome::Signal(9))?.expect_stdout("survived\n")?, 137)
}

fn a_memory_too_small_for_the_image(context: &Context) -> Result<()> {
    let root = context.root()?;
    let mut options = context.options();
    options.memory = 160;
    options.command = Some(vec!["true".into()]);
    // The kernel's first root takes half of what the archive leaves: then a part of it is
    // unpacked. Or hardly anything is left.
    for mebibytes in [60, 100] {
        fs::File::create(root.join("etc/large"))?.set_len(mebibytes << 20)?;
        let ended = context.boot(&root, &options)?;
        status(ended.expect_failure("memory is too small for the image: --memory")?, 125)?;
        let panicked = matches!(ended.report.outcome(), Outcome::Failed(why) if why.contains("panic"));
        ensure!(panicked == (mebibytes == 100), "{:?}", ended.report.outcome());
    }
    Ok(())
}

fn out_of_time(context: &Context) -> Result<()> {
    let mut options = context.options();
    options.limits.run = Some(Duration::from_secs(2));
    status(
        context.script(&mut options, "echo begun; sleep 1000")?.expect(&Outcome::Timeout)?.expect_stdout("begun\n")?,
        124,
    )
}

fn error(context: &Context, command: &str, expected: u8) -> Result<()> {
    let mut options = context.options();
    options.command = Some(vec![command.into()]);
    let ended = context.boot(&context.root()?, &options)?;
    let good = matches!(ended.report.outcome(), Outcome::Error { message, .. } if message.contains(command));
    ensure!(good, "the outcome is {:?}", ended.report.outcome());
    status(&ended, expected)
}

fn no_such_command(context: &Context) -> Result<()> {
    error(context, "/bin/no-such-command", 127)
}

fn not_executable(context: &Context) -> Result<()> {
    error(context, "/etc/passwd", 126)
}

fn a_panic_while_running(context: &Context) -> Result<()> {
    let mut config = context.config("echo begun; sleep 1; echo c >/proc/sysrq-trigger; sleep 100")?;
    for field in ["maskedPaths", "readonlyPaths"] {
        config["linux"].as_object_mut().map(|linux| linux.remove(field));
    }
    let bundle = context.bundle("bundle", &config)?;
    let ended = context.boot(&bundle, &context.options())?;
    status(ended.expect_failure("kernel panic: sysrq triggered crash")?.expect_stdout("begun\n")?, 125)?;
    ensure!(ended.report.seen.phase == Phase::Run, "the phase is {:?}", ended.report.seen.phase);
    Ok(())
}

/// An ELF program of a few instructions.
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let size = 120 + code.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [BASE + 120, 64, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 4096] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(code);
    bytes
}

/// Boots with this program as the init.
fn with_init(context: &Context, code: &[u8], limit: Duration) -> Result<Ended> {
    let init = context.folder.join("init");
    fs::write(&init, program(code))?;
    let mut options = context.options();
    options.ocinit = init;
    options.limits.boot = limit;
    context.script(&mut options, "echo never")
}

fn an_init_that_ends(context: &Context) -> Result<()> {
    // exit(5)
    let code = [0xbf, 5, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let ended = with_init(context, &code, Duration::from_secs(120))?;
    status(ended.expect_failure("kernel panic: Attempted to kill init! exitcode=0x00000500")?, 125)
}

fn an_init_that_hangs(context: &Context) -> Result<()> {
    // pause(), again and again
    let code = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    let begin = Instant::now();
    let ended = with_init(context, &code, Duration::from_secs(15))?;
    ensure!(begin.elapsed() < Duration::from_secs(40), "it took {:?}", begin.elapsed());
    status(ended.expect_failure("hang in phase kernel")?, 125)
}

fn a_kernel_that_says_nothing(context: &Context) -> Result<()> {
    // A multiboot image (Multiboot Specification 0.6.96) that halts at once.
    const MAGIC: u32 = 0x1bad_b002;
    const FLAGS: u32 = 0x1_0000;
    const BASE: u32 = 0x10_0000;
    let header = [MAGIC, FLAGS, 0_u32.wrapping_sub(MAGIC + FLAGS), BASE, BASE, BASE + 64, BASE + 64, BASE + 32];
    let mut image: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    image.extend_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; again
    image.resize(8192, 0);
    let path = context.folder.join("kernel");
    fs::write(&path, image)?;
    let mut options = context.options();
    (options.kernel, options.modules) = (Some(path), None);
    options.limits.boot = Duration::from_secs(3);
    status(context.script(&mut options, "echo never")?.expect_failure("hang in phase no kernel output")?, 125)
}

fn no_kernel_at_all(context: &Context) -> Result<()> {
    let path = context.folder.join("kernel");
    fs::write(&path, b"this is no kernel")?;
    let mut options = context.options();
    (options.kernel, options.modules) = (Some(path), None);
    status(context.script(&mut options, "echo never")?.expect_failure("QEMU failed")?, 125)
}
