//! Containers with a terminal: in the foreground, and over a console socket.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::terminal::{ConsoleSocket, Terminal, in_terminal};

cases!("terminals":
    foreground proves ["process.terminal"],
    foreground_is_raw_and_restored,
    foreground_size_and_resize,
    foreground_input_and_interrupt,
    foreground_exec,
    console_socket proves ["process.terminal"],
    console_size_from_the_configuration proves ["process.consoleSize.height", "process.consoleSize.width"],
    console_belongs_to_the_user,
    console_in_a_user_namespace,
    console_is_mounted proves ["process.terminal"],
    console_socket_without_a_terminal_is_an_error,
    terminal_without_a_console_socket_is_an_error,
    foreground_without_a_terminal,
);

fn with_terminal(script: &str) -> Config {
    Config::plain().set("/process/terminal", json!(true)).env("TERM=xterm").script(script)
}

fn foreground(c: &Context) -> Result<()> {
    c.write(&with_terminal("tty; test -t 0 && test -t 1 && test -t 2 && echo all three; exit 6"))?;
    let mut terminal = Terminal::open()?;
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.expect("all three")?;
    holds!(terminal.screen, "/dev/pts/0", "the terminal's name inside");
    // Line ends are what a terminal in raw mode passes on: not doubled.
    ensure!(!terminal.screen.contains("\r\r"), "{:?}", terminal.screen);
    running.finish()?.status(6)?;
    Ok(())
}

fn foreground_is_raw_and_restored(c: &Context) -> Result<()> {
    c.write(&with_terminal("echo ready; read line; echo end"))?;
    let mut terminal = Terminal::open()?;
    let before = tcgetattr(terminal.fd())?;
    ensure!(before.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON), "an ordinary terminal");
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.expect("ready")?;
    let during = tcgetattr(terminal.fd())?;
    ensure!(!during.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "raw");
    terminal.send("x\r")?;
    terminal.expect("end")?;
    running.finish()?.ok()?;
    let after = tcgetattr(terminal.fd())?;
    same!(after.local_modes.bits(), before.local_modes.bits(), "local modes afterwards");
    same!(after.input_modes.bits(), before.input_modes.bits(), "input modes afterwards");
    same!(after.output_modes.bits(), before.output_modes.bits(), "output modes afterwards");
    Ok(())
}

fn foreground_size_and_resize(c: &Context) -> Result<()> {
    c.write(&with_terminal("trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"))?;
    let mut terminal = Terminal::open()?;
    terminal.resize(33, 101)?;
    let id = c.id();
    let running = c.start_command(in_terminal(&c.command(&["run", &id]), &terminal)?)?;
    terminal.expect("33 101")?;
    terminal.expect("ready")?;
    terminal.resize(44, 55)?;
    terminal.expect("44 55")?;
    c.call(&["kill", &id, "KILL"])?.ok()?;
    running.finish()?.status(137)?;
    Ok(())
}

fn foreground_input_and_interrupt(c: &Context) -> Result<()> {
    c.write(&with_terminal("trap 'echo interrupted' INT; read a; echo got $a; read b; echo got $b; exit 9"))?;
    let mut terminal = Terminal::open()?;
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.send("one\r")?;
    terminal.expect("got one")?;
    // Control-C is the inner terminal's business: it does not end the runtime.
    terminal.send("\x03")?;
    terminal.expect("^C")?;
    terminal.send("two\r")?;
    terminal.expect("got")?;
    running.finish()?;
    Ok(())
}

fn foreground_exec(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let mut terminal = Terminal::open()?;
    terminal.resize(20, 70)?;
    let command = c.command(&["exec", "--tty", &id, "sh", "-c", "tty; stty size; read x; exit 4"]);
    let running = c.start_command(in_terminal(&command, &terminal)?)?;
    terminal.expect("20 70")?;
    terminal.send("x\r")?;
    running.finish()?.status(4)?;
    c.delete(&id)
}

fn console_socket(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    c.write(&with_terminal("tty; echo ready; read x; echo got $x; exit 3"))?;
    let id = c.id();
    c.call(&["create", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, name) = socket.receive()?;
    ensure!(name.contains("ptmx") || name.contains("pts"), "the message that came with it: {name:?}");
    c.call(&["start", &id])?.ok()?;
    terminal.expect("/dev/pts/0")?;
    terminal.expect("ready")?;
    terminal.send("hello\n")?;
    terminal.expect("got hello")?;
    c.await_status(&id, "stopped")?;
    terminal.drain()?;
    c.delete(&id)?;
    // Also by `run --detach`, as podman does it.
    let id = c.id();
    c.call(&["run", "-d", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, _) = socket.receive()?;
    terminal.expect("ready")?;
    c.delete(&id)
}

fn console_size_from_the_configuration(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    c.write(&with_terminal("stty size; read x").set("/process/consoleSize", json!({"height": 25, "width": 91})))?;
    let id = c.id();
    c.call(&["create", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, _) = socket.receive()?;
    same!(terminal.size()?, (25, 91), "size of the terminal received");
    c.call(&["start", &id])?.ok()?;
    terminal.expect("25 91")?;
    c.delete(&id)?;
    for bad in [json!({"height": -1, "width": 1}), json!({"height": 70_000, "width": 1}), json!({"height": 1})] {
        c.write(&with_terminal("true").set("/process/consoleSize", bad))?;
        let output = c.call(&["create", "--console-socket", &socket.path.to_string_lossy(), &c.id()])?;
        output.error(1, &["process.consoleSize"])?;
    }
    Ok(())
}

fn console_belongs_to_the_user(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    let config = with_terminal(
        "stat -L -c '%u %a' /dev/pts/0 /dev/stdin; echo x > /dev/tty; echo y > /dev/console; echo end; read x",
    );
    c.write(&config.set("/process/user", json!({"uid": 1000, "gid": 1000})))?;
    let id = c.id();
    c.call(&["run", "-d", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, _) = socket.receive()?;
    terminal.expect("end")?;
    holds!(terminal.screen, "1000 620\r\n1000 620\r\nx\r\ny\r\n", "owner and mode");
    c.delete(&id)
}

fn console_in_a_user_namespace(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    c.write(
        &with_terminal("tty; stat -c %u /dev/pts/0; echo x > /dev/console; echo end; read x")
            .user_namespace(100_000, 65_536),
    )?;
    let id = c.id();
    c.call(&["run", "-d", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, _) = socket.receive()?;
    terminal.expect("end")?;
    holds!(terminal.screen, "/dev/pts/0\r\n0\r\nx\r\n", "name and owner");
    c.delete(&id)
}

fn console_is_mounted(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    let config = with_terminal("").args(&["/probe", "sleep", "1000"]);
    c.write(&config)?;
    let id = c.id();
    c.call(&["run", "-d", "--console-socket", &socket.path.to_string_lossy(), &id])?.ok()?;
    let (mut terminal, _) = socket.receive()?;
    terminal.expect("\r\n")?;
    let seen: Value = serde_json::from_str(terminal.screen.trim())?;
    let mount = seen["mounts"].as_array().into_iter().flatten().find(|m| m["point"] == "/dev/console").cloned();
    let mount = mount.unwrap_or_default();
    same!(mount["type"], "devpts", "type of the mount at /dev/console");
    same!(mount["root"], "/0", "root of the mount at /dev/console");
    holds!(seen["devices"]["/dev/console"].to_string(), "char 136:0", "/dev/console");
    same!(seen["session"]["terminals"], json!(["true", "true", "true"]), "terminals");
    ensure!(seen["session"]["tty_nr"] != "0", "a controlling terminal");
    same!(seen["descriptors"].as_array().map_or(0, Vec::len), 3, "descriptors {}", seen["descriptors"]);
    c.delete(&id)
}

fn console_socket_without_a_terminal_is_an_error(c: &Context) -> Result<()> {
    let socket = ConsoleSocket::bind(&c.dir)?;
    c.write(&Config::plain())?;
    let output = c.call(&["create", "--console-socket", &socket.path.to_string_lossy(), &c.id()])?.status(1)?;
    holds!(output.stderr, "console", "the error");
    Ok(())
}

fn terminal_without_a_console_socket_is_an_error(c: &Context) -> Result<()> {
    c.write(&with_terminal("true"))?;
    for command in [&["create"] as &[&str], &["run", "-d"]] {
        let mut arguments = command.to_vec();
        let id = c.id();
        arguments.push(&id);
        let output = c.call(&arguments)?.status(1)?;
        holds!(output.stderr, "console", "the error");
    }
    for bad in ["/nowhere/console.sock".to_string(), c.bundle().join("config.json").to_string_lossy().into_owned()] {
        let output = c.call(&["create", "--console-socket", &bad, &c.id()])?.status(1)?;
        holds!(output.stderr, bad, "the error");
    }
    Ok(())
}

fn foreground_without_a_terminal(c: &Context) -> Result<()> {
    // Standard input is no terminal: the container has one all the same.
    c.write(&with_terminal("tty; exit 2"))?;
    let before = fs::metadata("/dev/null")?;
    let output = c.call(&["run", &c.id()])?;
    ensure!(output.status == 2 && output.stdout.contains("/dev/pts/0") || output.status == 1, "{output:?}");
    same!(fs::metadata("/dev/null")?.uid(), before.uid(), "owner of /dev/null");
    Ok(())
}
