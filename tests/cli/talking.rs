//! `run`, `keys` and `watch` against a node, whose CLI is the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use smache::Smache;
use smache::access::{Access, Tokens};
use smache::config::{Config, Port};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Ran;

/// A node of this process, with its HTTP door.
struct Node {
    runtime: Runtime,
    node: Smache,
    home: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.runtime.block_on(self.node.stop()).unwrap();
    }
}

impl Node {
    fn start(access: Access) -> Node {
        let runtime = Runtime::new().unwrap();
        let config = Config {
            http_port: Port::Exactly(0),
            ..Config::default()
        };
        let builder = Smache::builder().config(config).access(access).serve();
        let node = runtime.block_on(builder.start()).unwrap();
        let home = tempfile::tempdir().unwrap();
        Node {
            runtime,
            node,
            home,
        }
    }

    fn open() -> Node {
        Node::start(Access::open())
    }

    fn url(&self) -> String {
        format!("http://{}", self.node.http_address().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smache"));
        command
            .args(args)
            .env_clear()
            .env("SMACHE_URL", self.url())
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary with this on standard input.
    fn feed(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).spawn().unwrap();
        // It may end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.feed(args, "")
    }

    /// What a command that must succeed prints.
    fn prints(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert_eq!(ran.err, "", "{args:?}");
        ran.out
    }
}

#[test]
fn commands_are_carried_out() {
    let node = Node::open();
    let prints = |args: &[&str]| node.prints(args);
    assert_eq!(prints(&["run", "HSET", "h", "f", "v", "g", "2"]), "2\n");
    assert_eq!(prints(&["run", "HGETALL", "h"]), "f\nv\ng\n2\n");
    assert_eq!(
        prints(&["run", "--json", "HGETALL", "h"]),
        "{\"f\":\"v\",\"g\":\"2\"}\n"
    );
    assert_eq!(prints(&["run", "SET k 'two words'"]), "OK\n");
    assert_eq!(prints(&["run", "GET", "k"]), "two words\n");
    assert_eq!(prints(&["run", "--json", "GET", "no"]), "null\n");
    // What begins with a hyphen belongs to the command.
    assert_eq!(prints(&["run", "INCRBY", "n", "-5"]), "-5\n");
    assert_eq!(prints(&["run", "LRANGE", "l", "0", "-1"]), "");

    let wrong = node.run(&["run", "GET", "h"]);
    assert_eq!((wrong.code, &wrong.out[..]), (Some(1), ""));
    assert!(wrong.err.starts_with("error: WRONGTYPE "), "{}", wrong.err);
    for (args, told) in [
        (&["run", "SUBSCRIBE", "news"][..], "smache watch"),
        (&["run", "monitor"], "smache watch"),
        (&["run", "AUTH", "x"], "--token"),
        (&["run", "GET 'k"], "quotes"),
        (&["run", "--jsonn", "PING"], "--json"),
    ] {
        let ran = node.run(args);
        assert_eq!((ran.code, &ran.out[..]), (Some(2), ""), "{args:?}");
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}

#[test]
fn a_document_may_be_null() {
    let node = Node::open();
    assert_eq!(node.run(&["get", "k"]).code, Some(1));
    node.prints(&["run", "JSON.SET", "k", "$", "null"]);
    assert_eq!(node.prints(&["get", "k"]), "null\n");
}

#[test]
fn lines_are_carried_out_until_an_error() {
    let node = Node::open();
    let lines = "SET k 1\n\n# a comment\n  INCR k  \nNOSUCH x\nINCR k\n";
    let ran = node.feed(&["run"], lines);
    assert_eq!((ran.code, &ran.out[..]), (Some(1), "OK\n2\n"));
    assert!(
        ran.err.contains("line 5: ERR unknown command"),
        "{}",
        ran.err
    );
    let ran = node.feed(&["run", "--keep-going", "--json"], lines);
    assert_eq!(ran.code, Some(1));
    let out: Vec<&str> = ran.out.lines().collect();
    assert_eq!((out.len(), out[0], out[1], out[3]), (4, "\"OK\"", "2", "3"));
    assert!(out[2].starts_with("{\"error\":\"ERR unknown"), "{}", out[2]);
    let ran = node.feed(&["run"], "GET \"k\nGET k\n");
    assert_eq!((ran.code, &ran.out[..]), (Some(2), ""));
    assert!(ran.err.contains("line 1"), "{}", ran.err);
    let ran = node.feed(&["run"], "SET b \"\\xff\\n\"\nSTRLEN b");
    assert_eq!((ran.code, &ran.out[..]), (Some(0), "OK\n2\n"));
    assert!(
        !node.home.path().join(".local").exists(),
        "lines are no history"
    );
}

#[test]
fn keys_are_listed() {
    let node = Node::open();
    let sets: String = (0..2_500).map(|n| format!("SET many:{n} x\n")).collect();
    assert_eq!(node.feed(&["run"], &sets).code, Some(0));
    node.prints(&["run", r#"SET "a key" 1"#]);
    node.prints(&["run", r#"SET "\xff" 1"#]);
    assert_eq!(node.prints(&["keys", "--count"]), "2502\n");
    assert_eq!(node.prints(&["keys", "--count", "many:?"]), "10\n");
    let many = node.prints(&["keys", "many:*"]);
    let mut many: Vec<&str> = many.lines().collect();
    many.sort_unstable();
    many.dedup();
    assert_eq!(many.len(), 2_500);
    assert_eq!(node.prints(&["keys", "a *"]), "a key\n");
    assert_eq!(node.prints(&["keys", "-0", "a *"]), "a key\0");
    assert_eq!(node.prints(&["keys", "--json", "a*"]), "\"a key\"\n");
    assert_eq!(node.prints(&["keys", "none:*"]), "");
    let json = node.prints(&["keys", "--json", "[^am]*"]);
    assert_eq!(json, "{\"base64\":\"/w==\"}\n");
    assert_eq!(node.run(&["keys", "--count", "--null"]).code, Some(2));
}

/// A command that goes on, whose lines are read.
struct Following {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Following {
    fn start(mut command: Command) -> Following {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = std::sync::mpsc::sync_channel(100);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Following { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_are_followed_until_ctrl_c() {
    let node = Node::open();
    let mut watch = Following::start(node.command(&["watch", "--key", "ready", "bus:"]));
    // Once this is told the prefixes are heard, too.
    assert_eq!(watch.line(), "snapshot  ready");
    node.prints(&["put", "bus:42", "{\"line\": 4}"]);
    assert_eq!(watch.line(), "put       bus:42  {\"line\":4}");
    node.prints(&["del", "bus:42"]);
    assert_eq!(watch.line(), "delete    bus:42");
    let id = watch.child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let status = watch.child.wait().unwrap();
    assert_eq!(status.code(), Some(130));

    node.prints(&["put", "ready", "{\"is\":true}", "--ttl", "1h"]);
    let json = node.prints(&["watch", "--json", "--key", "ready", "--count", "1"]);
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["event"], "snapshot");
    assert_eq!(
        (&event["key"], &event["data"]),
        (&"ready".into(), &serde_json::json!({"is": true}))
    );
    assert!(event["ttl_ms"].as_u64().unwrap() <= 3_600_000);
    assert_eq!(node.run(&["watch"]).code, Some(2));
}

#[test]
fn what_helps_is_said() {
    let tokens = Tokens::parse(b"read r the-readers-token").unwrap();
    let node = Node::start(Access::of(tokens));
    for args in [&["run", "GET", "k"][..], &["keys"], &["watch", "k"]] {
        let ran = node.run(args);
        assert_eq!((ran.code, &ran.out[..]), (Some(1), ""), "{args:?}");
        assert!(ran.err.contains("SMACHE_TOKEN"), "{}", ran.err);
        let token = ["--token", "the-readers-token"];
        let args = [&args[..1], &token, &args[1..]].concat();
        if args[0] != "watch" {
            node.prints(&args);
        }
        // Nobody listens there: it is said at once, not at the end of the timeout.
        let nowhere = ["--node", "http://127.0.0.1:1", "--timeout", "1h"];
        let ran = node.run(&[&args[..1], &nowhere, &args[3..]].concat());
        assert_eq!((ran.code, &ran.out[..]), (Some(1), ""), "{args:?}");
        assert!(ran.err.contains("SMACHE_URL"), "{}", ran.err);
    }
}

/// A prompt needs a terminal, which `script` gives it.
#[cfg(target_os = "linux")]
mod prompt {
    use super::*;

    /// Types lines at a prompt, each once the one before is answered; what was on the screen then.
    fn typed(node: &Node, args: &str, lines: &[(&str, &str)]) -> String {
        let binary = env!("CARGO_BIN_EXE_smache");
        let mut child = Command::new("script")
            .args(["-qec", &format!("{binary} run {args}"), "/dev/null"])
            .env("SMACHE_URL", node.url())
            .env("HOME", node.home.path())
            .env("TERM", "xterm")
            .env_remove("SMACHE_HISTORY")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(100);
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = std::io::Read::read(&mut out, &mut piece) {
                if tell.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut input = child.stdin.take().unwrap();
        let mut screen = String::new();
        let mut seen = 0;
        let mut until = |wanted: &str, screen: &mut String| {
            while !screen[seen..].contains(wanted) {
                let piece = told.recv_timeout(Duration::from_secs(20));
                let piece = piece.unwrap_or_else(|_| panic!("no {wanted:?} in {screen:?}"));
                screen.push_str(&String::from_utf8_lossy(&piece));
            }
            seen = screen.len();
        };
        until("> ", &mut screen);
        for (line, answer) in lines {
            input.write_all(line.as_bytes()).unwrap();
            until(answer, &mut screen);
        }
        input.write_all(b"exit\r").unwrap();
        assert!(child.wait().unwrap().success());
        screen
    }

    fn history(node: &Node) -> Option<String> {
        let file = node.home.path().join(".local/state/smache/history");
        std::fs::read_to_string(file).ok()
    }

    #[test]
    fn a_prompt_completes_and_remembers() {
        let node = Node::open();
        let screen = typed(
            &node,
            "",
            &[
                ("SET k '{\"a\": [1]}'\r", "OK"),
                ("get k\r", "\"a\""),
                // Completed by Tab.
                ("strl\tk\r", "(integer)"),
                ("nosuch\r", "(error) ERR unknown command"),
                ("AUTH secret\r", "--token"),
                ("help strlen\r", "length"),
            ],
        );
        assert!(screen.contains("\u{1b}[34m\"a\"\u{1b}[0m: ["), "{screen}");
        let remembered = history(&node).unwrap();
        assert!(remembered.contains("\nstrlen k\n"), "{remembered}");
        assert!(!remembered.contains("secret"), "{remembered}");
        // The arrow up brings back the line before.
        typed(
            &node,
            "",
            &[("INCR n\r", "(integer) 1"), ("\u{1b}[A\r", "(integer) 2")],
        );
    }

    #[test]
    fn nothing_is_remembered_if_nobody_wants_it() {
        let node = Node::open();
        typed(&node, "--no-history", &[("PING\r", "PONG")]);
        assert_eq!(history(&node), None);
    }
}
