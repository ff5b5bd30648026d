//! Settings and arguments, with the real binary: what is refused, how, and with which exit code.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempPath;

#[path = "cli/talking.rs"]
mod talking;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary with these variables and no others.
fn smache(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_smache"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Ran {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// The settings in effect.
fn printed(args: &[&str], variables: &[(&str, &str)]) -> String {
    let args = [&["serve", "--print-config"], args].concat();
    let ran = smache(&args, variables);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

/// The value and source of one setting in effect.
fn setting(printed: &str, name: &str) -> (String, String) {
    let line = printed
        .lines()
        .find(|line| line.starts_with(&format!("{name}: ")))
        .unwrap_or_else(|| panic!("no {name} in\n{printed}"));
    let (value, source) = line[name.len() + 1..].split_once(" # ").unwrap();
    (value.trim().to_owned(), source.to_owned())
}

fn file(extension: &str, text: &str) -> TempPath {
    let mut file = tempfile::Builder::new()
        .suffix(extension)
        .tempfile()
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

fn named(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Asserts that the start is refused, and that the message has these parts.
fn refused(args: &[&str], variables: &[(&str, &str)], parts: &[&str]) {
    let args = [&["serve", "--print-config"], args].concat();
    let ran = smache(&args, variables);
    assert_eq!(
        ran.code,
        Some(2),
        "{args:?} {variables:?}: {}{}",
        ran.out,
        ran.err
    );
    assert_eq!(ran.out, "");
    for part in parts {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
}

#[test]
fn flags_win_over_variables_over_file() {
    let yaml = file(".yaml", "port: 1001\nwriters: 2\nthreads: 3\n");
    let args = ["--config", named(&yaml), "--port", "4001"];
    let out = printed(
        &args,
        &[
            ("SMACHE_PORT", "3001"),
            ("PORT", "2001"),
            ("SMACHE_WRITERS", "0"),
        ],
    );
    assert_eq!(
        setting(&out, "port"),
        ("4001".to_owned(), "flag --port".to_owned())
    );
    assert_eq!(
        setting(&out, "writers"),
        ("0".to_owned(), "variable SMACHE_WRITERS".to_owned())
    );
    assert_eq!(
        setting(&out, "threads"),
        ("3".to_owned(), format!("file {}", yaml.display()))
    );
    assert_eq!(setting(&out, "json-depth-max").1, "default");
    let out = printed(&[], &[("SMACHE_PORT", "3001"), ("PORT", "2001")]);
    assert_eq!(setting(&out, "port").0, "3001");
    let out = printed(&[], &[("PORT", "2001"), ("SMACHE_CONFIG", named(&yaml))]);
    assert_eq!(setting(&out, "port").0, "2001");
}

#[test]
fn unknown_flags_and_keys_stop_the_start() {
    refused(&["--portt", "1"], &[], &["--portt", "--port"]);
    refused(&["stray"], &[], &["stray"]);
    let yaml = file(".yaml", "max_memory: 1GB\n");
    let parts = ["max_memory", named(&yaml), "no such setting", "max-memory"];
    refused(&["--config", named(&yaml)], &[], &parts);
    let toml = file(".toml", "[cluster]\nport = 1\n");
    refused(&["--config", named(&toml)], &[], &[named(&toml)]);
    assert_eq!(smache(&[], &[]).code, Some(2));
    assert_eq!(smache(&["fly"], &[]).code, Some(2));
}

#[test]
fn malformed_values_are_named_wherever_they_stand() {
    let cases = [
        ("port", "70000", "not a port"),
        ("cluster-port", "-1", "not a port"),
        ("bind", "everywhere", "not an address"),
        ("max-memory", "100XB", "not a size"),
        ("max-memory", "0", "too few"),
        ("drain-delay", "2", "no unit"),
        ("request-timeout", "soon", "not a span"),
        ("header-timeout", "0s", "no time"),
        ("threads", "many", "not a whole number"),
        ("min-members", "2000", "out of range"),
        ("backups", "4", "not a number of backups"),
        ("acknowledge", "all", "not who acknowledges"),
        ("policies", "a:backups=9", "not a number of backups"),
        ("handoff-rate", "10", "never come to an end"),
        ("tombstone-horizon", "1s", "forgotten"),
        ("json-depth-max", "513", "out of range"),
        ("key-bytes-max", "0", "out of range"),
        ("body-bytes-max", "1", "do not hold"),
        ("node-name", "me", "no `@`"),
        ("uplinks", "a b", "not a host"),
        ("cluster-trusted-network", "yes", "not a switch"),
        ("log", "inof", "no level"),
        ("log-format", "xml", "not a form"),
        ("cookie-file", "/nowhere/at/all", "cannot be read"),
    ];
    for (name, value, wrong) in cases {
        let flag = format!("--{name}={value}");
        refused(
            &[&flag],
            &[],
            &[name, &format!("flag --{name}"), wrong, "right: "],
        );

        let variable = format!("SMACHE_{}", name.to_uppercase().replace('-', "_"));
        refused(
            &[],
            &[(&variable, value)],
            &[name, &format!("variable {variable}"), wrong],
        );

        let yaml = file(".yaml", &format!("{name}: \"{value}\"\n"));
        let source = format!("file {}", yaml.display());
        refused(&["--config", named(&yaml)], &[], &[name, &source, wrong]);
    }
    for name in ["PORT", "NODE_NAME"] {
        refused(&[], &[(name, "")], &[&format!("variable {name}")]);
    }
}

#[test]
fn a_file_that_is_none_stops_the_start() {
    refused(
        &["--config", "/nowhere.yaml"],
        &[],
        &["/nowhere.yaml", "flag --config"],
    );
    refused(
        &[],
        &[("SMACHE_CONFIG", "/nowhere.toml")],
        &["variable SMACHE_CONFIG"],
    );
    let other = file(".ini", "port=1\n");
    refused(&["--config", named(&other)], &[], &[".yaml", ".toml"]);
    let broken = file(".yaml", "port: [1\n");
    refused(&["--config", named(&broken)], &[], &[named(&broken)]);
}

#[test]
fn strange_variables_are_a_warning_and_service_links_are_nothing() {
    let args = ["serve", "--print-config"];
    let ran = smache(&args, &[("SMACHE_MAXMEMORY", "1GB")]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("SMACHE_MAXMEMORY"), "{}", ran.err);
    let links = [
        ("SMACHE_PORT", "tcp://10.0.0.1:4000"),
        ("SMACHE_SERVICE_HOST", "10.0.0.1"),
        ("SMACHE_SERVICE_PORT_HTTP", "4000"),
        ("SMACHE_PORT_4000_TCP_ADDR", "10.0.0.1"),
    ];
    let ran = smache(&args, &links);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(
        ran.out.contains("4000, or the next free one"),
        "{}",
        ran.out
    );
}

#[test]
fn sizes_and_durations_mean_what_they_say() {
    let out = printed(
        &[
            "--max-memory",
            "100MB",
            "--value-bytes-max=64MiB",
            "--drain-delay=300ms",
        ],
        &[
            ("SMACHE_SHUTDOWN_TIMEOUT", "1h"),
            ("SMACHE_KEY_BYTES_MAX", "100"),
        ],
    );
    assert_eq!(setting(&out, "max-memory").0, "100000000");
    assert_eq!(setting(&out, "value-bytes-max").0, "64MiB");
    assert_eq!(setting(&out, "body-bytes-max").0, "65MiB");
    assert_eq!(setting(&out, "drain-delay").0, "\"300ms\"");
    assert_eq!(setting(&out, "shutdown-timeout").0, "\"1h\"");
    assert_eq!(setting(&out, "key-bytes-max").0, "100");
}

#[test]
fn what_is_printed_can_be_fed_back() {
    let args = [
        "--port=0",
        "--uplinks=a:1",
        "--uplinks=[fd00::1]:2,c",
        "--max-memory=1GiB",
        "--cluster-bind=0.0.0.0",
        "--cluster-trusted-network",
        "--node-name=two@10.0.0.1",
    ];
    let cookie = [("COOKIE", "a cookie that is long enough")];
    let first = printed(&args, &cookie);
    assert!(!first.contains("long enough"), "{first}");
    assert!(first.contains("***"), "{first}");
    let yaml = file(".yaml", &first);
    let second = printed(&["--config", named(&yaml)], &cookie);
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split(" # ").next().unwrap().trim().to_owned())
            .collect()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn beyond_loopback_takes_a_cookie_and_a_word() {
    refused(
        &["--cluster-bind=0.0.0.0"],
        &[],
        &["cluster-bind", "cookie", "loopback"],
    );
    refused(
        &["--cluster-bind=0.0.0.0"],
        &[("COOKIE", "short")],
        &["cookie", "at least 16"],
    );
    let long = [("COOKIE", "0123456789abcdef")];
    refused(
        &["--cluster-bind=0.0.0.0"],
        &long,
        &["cluster-trusted-network"],
    );
    printed(
        &["--cluster-bind=0.0.0.0", "--cluster-trusted-network"],
        &long,
    );
}

#[test]
fn files_for_the_doors_go_together_and_are_there() {
    let pair = "tls-cert and tls-key together";
    refused(&["--tls-cert", "a.pem"], &[], &["tls-key", "missing", pair]);
    refused(&[], &[("SMACHE_TLS_KEY", "a.pem")], &["tls-cert", pair]);
    refused(
        &["--tls-client-ca", "a.pem"],
        &[],
        &["tls-client-ca", "tls-cert"],
    );
    let out = printed(&["--tokens", "t", "--tls-cert=c", "--tls-key=k"], &[]);
    assert_eq!(setting(&out, "tokens").0, "\"t\"");

    let started = |args: &[&str]| {
        let ports = ["serve", "--port=0", "--cluster-port=0"];
        let ran = smache(&[&ports, args].concat(), &[]);
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{}", ran.err);
        ran.err
    };
    let said = started(&["--tokens", "/nowhere/tokens"]);
    assert!(
        said.contains("error: tokens: /nowhere/tokens cannot be read"),
        "{said}"
    );
    let said = started(&["--tls-cert=/nowhere/c", "--tls-key=/nowhere/k"]);
    assert!(
        said.contains("tls-cert: /nowhere/c cannot be read"),
        "{said}"
    );
    let secret = "a-token-on-the-wrong-line";
    for (text, part) in [
        (
            format!("read shop {secret}\nwriter shop {secret}2"),
            " line 2: its first word is no role",
        ),
        (
            format!("{secret} shop read"),
            " line 1: its first word is no role; right: read, write",
        ),
        (
            "read shop secret".to_owned(),
            " line 1: its token is short enough to be guessed",
        ),
        (
            format!("read shop {secret} always"),
            " line 1: there is something behind the token",
        ),
        ("# nobody\n".to_owned(), " holds no token"),
    ] {
        let tokens = file("", &text);
        let said = started(&["--tokens", named(&tokens)]);
        assert!(
            said.contains(&format!("tokens: {}{part}", tokens.display())),
            "{said}"
        );
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn certificates_are_made_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let make = |more: &[&str]| smache(&[&["certs", named(&certs)], more].concat(), &[]);
    let read = |file: &str| std::fs::read_to_string(certs.join(file)).unwrap();
    let mode = |file: &str| certs.join(file).metadata().unwrap().permissions().mode() & 0o777;

    let ran = make(&["--name", "one@localhost", "--name", "two@10.0.0.1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in [
        "a CA",
        "--cluster-ca",
        "--cluster-cert",
        "two@10.0.0.1-key.pem",
    ] {
        assert!(ran.out.contains(part), "no {part} in {}", ran.out);
    }
    for file in [
        "ca-key.pem",
        "one@localhost-key.pem",
        "two@10.0.0.1-key.pem",
    ] {
        assert!(read(file).contains("PRIVATE KEY"), "{file}");
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let (ca, one) = (read("ca.pem"), read("one@localhost.pem"));

    // All or nothing, and nothing twice.
    let ran = make(&["--name", "three@localhost", "--name", "one@localhost"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert!(!certs.join("three@localhost.pem").exists());
    assert_eq!(read("one@localhost.pem"), one);

    // The CA outlives a renewal.
    let ran = make(&["--name", "one@localhost", "--force", "--days", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_ne!(read("one@localhost.pem"), one);
    assert_eq!(read("ca.pem"), ca);
    assert_eq!(mode("one@localhost-key.pem"), 0o600);

    // For doors and clients, from the same CA.
    let doors = ["--door", "localhost", "--door", "::1", "--client", "shop"];
    let ran = make(&doors);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in [
        "the CA is the one",
        "--tls-cert",
        "--tls-client-ca",
        "https://localhost",
    ] {
        assert!(ran.out.contains(part), "no {part} in {}", ran.out);
    }
    for file in ["doors", "client-shop"] {
        assert_eq!(mode(&format!("{file}-key.pem")), 0o600, "{file}");
        assert!(read(&format!("{file}.pem")).contains("CERTIFICATE"));
    }
    let ran = make(&doors);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("doors.pem is there"), "{}", ran.err);

    for wrong in [
        &["--name", "nobody"][..],
        &["--name", "a@b", "--days", "0"],
        &["--client", "../shop"],
        &["--client", ""],
        &[],
    ] {
        assert_eq!(make(wrong).code, Some(2), "{wrong:?}");
    }
    // Half a CA is not made whole by a new one.
    std::fs::remove_file(certs.join("ca-key.pem")).unwrap();
    let ran = make(&["--name", "four@localhost"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("ca-key.pem is missing"), "{}", ran.err);
}

#[test]
fn help_is_there_and_names_every_way_to_set() {
    let ran = smache(&["--help"], &[]);
    assert_eq!(ran.code, Some(0));
    for part in [
        "serve",
        "run",
        "keys",
        "watch",
        "load",
        "certs",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(ran.out.contains(part), "{part}");
    }
    for command in ["run", "keys", "watch"] {
        let ran = smache(&[command, "--help"], &[]);
        assert_eq!(ran.code, Some(0));
        for part in ["Examples:", "--json", "--node", "--token"] {
            assert!(ran.out.contains(part), "{part} of {command}");
        }
    }
    let ran = smache(&["serve", "--help"], &[]);
    assert_eq!(ran.code, Some(0));
    for part in [
        "--max-memory",
        "SMACHE_MAX_MEMORY",
        "UPLINK_NODE",
        "--config",
        "64MiB",
    ] {
        assert!(ran.out.contains(part), "{part}");
    }
    assert!(
        smache(&["--version"], &[])
            .out
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = smache(&["completions", shell], &[]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains("max-memory"), "{shell}");
        assert!(ran.out.contains("resume"), "{shell}");
        assert!(ran.out.contains("keep-going"), "{shell}");
    }
    assert_eq!(smache(&["completions", "abacus"], &[]).code, Some(2));
}

#[test]
fn client_commands_refuse_what_they_cannot_mean() {
    for args in [
        &["get"][..],
        &["get", "k", "--node", "ftp://localhost"],
        &["get", "k", "--token", ""],
        &["get", "k", "--token", "two words"],
        &["get", "k", "--ca", "/nowhere/at/all"],
        &["get", "k", "--ca", "/dev/null"],
        &["get", "k", "--client-cert", "a.pem"],
        &["get", "k", "--node", "http://"],
        &["get", "k", "--timeout", "3"],
        &["put", "k", "{"],
        &["put", "k", "{}", "--ttl", "0s"],
        &["put", "k", "{}", "--ttl", "30"],
        &["put", "k", "{}", "--if-absent", "--if-match", "x"],
        &["handoff", "stop"],
        &["handoff", "pause", "--node", "ftp://localhost"],
        &["load", "file.txt"],
        &["load", "-"],
        &["load", "file.csv"],
        &["load", "f.json", "--concurrency", "0"],
    ] {
        let ran = smache(args, &[]);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
}
