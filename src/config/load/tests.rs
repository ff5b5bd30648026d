//! Tests of [`super`]: precedence, malformed values everywhere, and what Kubernetes injects.

use std::io::Write as _;

use super::*;
use crate::config::{Acknowledge, Policy};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn settings(flags: Pairs<'_>, env: Pairs<'_>, file: Option<&Path>) -> Result<Loaded, Error> {
    load(
        flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Raw::text(*value))),
        env.iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        file,
    )
}

fn env(env: Pairs<'_>) -> Config {
    settings(&[], env, None).unwrap().config
}

fn refused(flags: Pairs<'_>, env: Pairs<'_>) -> String {
    settings(flags, env, None).unwrap_err().to_string()
}

fn file(extension: &str, text: &str) -> tempfile::TempPath {
    let mut file = tempfile::Builder::new()
        .suffix(extension)
        .tempfile()
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = settings(&[], &[], None).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn flags_win_over_variables_over_file_over_defaults() {
    let path = file(".yaml", "port: 1\nwriters: 1\nthreads: 1\nlog: warn\n");
    let loaded = settings(
        &[("port", "4")],
        &[("SMACHE_PORT", "3"), ("PORT", "2"), ("SMACHE_WRITERS", "3")],
        Some(&path),
    )
    .unwrap();
    let Config {
        http_port,
        writers,
        threads,
        log,
        json_depth_max,
        ..
    } = loaded.config.clone();
    assert_eq!(http_port, Port::Exactly(4));
    assert_eq!(writers, 3);
    assert_eq!(threads, 1);
    assert_eq!(log, "warn");
    assert_eq!(json_depth_max, 128);
    assert_eq!(loaded.origin("port"), Origin::Flag("port".to_owned()));
    assert_eq!(
        loaded.origin("writers"),
        Origin::Variable("SMACHE_WRITERS".to_owned())
    );
    assert_eq!(loaded.origin("threads"), Origin::File(path.to_path_buf()));
    assert_eq!(loaded.origin("json-depth-max"), Origin::Default);
}

#[test]
fn the_plain_variables_work_and_give_way() {
    let config = env(&[
        ("PORT", "4001"),
        ("UPLINK_NODE", "localhost,other:4501"),
        ("COOKIE", "plain"),
        ("NODE_NAME", "two@localhost"),
    ]);
    assert_eq!(config.http_port, Port::Exactly(4001));
    assert_eq!(config.cluster_port, Port::Preferred(4501));
    assert_eq!(config.uplinks.len(), 2);
    assert_eq!(config.cookie, Some(Secret("plain".to_owned())));
    assert_eq!(config.node_name, "two@localhost");

    let config = env(&[
        ("SMACHE_COOKIE", "own"),
        ("COOKIE", "plain"),
        ("UPLINK_NODE", "a"),
        ("SMACHE_UPLINKS", ""),
    ]);
    assert_eq!(config.cookie, Some(Secret("own".to_owned())));
    assert_eq!(config.uplinks, Vec::new());
    assert_eq!(
        env(&[("UPLINK_NODE", ""), ("COOKIE", "")]),
        Config::default()
    );
}

#[test]
fn the_cluster_port_follows_the_http_port() {
    assert_eq!(env(&[]).cluster_port, Port::Preferred(4500));
    assert_eq!(env(&[("PORT", "0")]).cluster_port, Port::Exactly(0));
    assert_eq!(env(&[("PORT", "8080")]).cluster_port, Port::Preferred(8580));
    let own = env(&[("PORT", "0"), ("SMACHE_CLUSTER_PORT", "7000")]);
    assert_eq!(own.cluster_port, Port::Exactly(7000));
    assert!(refused(&[], &[("PORT", "65100")]).contains("cluster-port"));
}

#[test]
fn limits_follow_the_longest_value() {
    let config = env(&[("SMACHE_VALUE_BYTES_MAX", "64MiB")]);
    assert_eq!(config.body_bytes_max, 65 << 20);
    assert!(config.peer_bytes_max > 64 << 20);
    let said = refused(
        &[("value-bytes-max", "2MiB"), ("body-bytes-max", "1MiB")],
        &[],
    );
    assert!(
        said.starts_with("body-bytes-max (flag --body-bytes-max)"),
        "{said}"
    );
}

#[test]
fn policies_come_from_every_source() {
    let a = |backups, acknowledge| {
        let policy = Policy {
            backups: Some(backups),
            acknowledge,
        };
        BTreeMap::from([("a".to_owned(), policy)])
    };
    let path = file(".toml", "backups = 2\n[policies.a]\nbackups = 0\n");
    let loaded = settings(&[], &[], Some(&path)).unwrap();
    assert_eq!(loaded.config.policies, a(0, None));
    assert_eq!(loaded.config.backups, 2);
    let env = [("SMACHE_POLICIES", "a:backups=1,acknowledge=owner")];
    let owner = Some(Acknowledge::Owner);
    let loaded = settings(&[], &env, Some(&path)).unwrap();
    assert_eq!(loaded.config.policies, a(1, owner), "whole, not merged");
    let loaded = settings(&[("policy", "a:backups=3")], &env, Some(&path)).unwrap();
    assert_eq!(loaded.config.policies, a(3, None));
    let path = file(".toml", "[policies.a]\nbackup = 0\n");
    let said = settings(&[], &[], Some(&path)).unwrap_err().to_string();
    assert!(
        said.contains("policies") && said.contains("`backup`"),
        "{said}"
    );
}

#[test]
fn a_malformed_value_is_named_with_its_source() {
    let said = refused(&[], &[("SMACHE_MAX_MEMORY", "100XB")]);
    for part in [
        "max-memory",
        "variable SMACHE_MAX_MEMORY",
        "`100XB`",
        "64MiB",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = refused(&[("port", "http")], &[]);
    assert!(
        said.contains("port (flag --port): `http` is not a port"),
        "{said}"
    );
    let path = file(".toml", "drain-delay = 2\n");
    let said = settings(&[], &[], Some(&path)).unwrap_err().to_string();
    assert!(said.contains(&path.display().to_string()), "{said}");
    assert!(
        said.contains("drain-delay") && said.contains("2s"),
        "{said}"
    );
}

#[test]
fn an_overridden_value_must_be_right_too() {
    let said = refused(&[("port", "1")], &[("PORT", "x")]);
    assert!(said.contains("variable PORT"), "{said}");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = settings(
        &[("threads", "many")],
        &[
            ("PORT", "70000"),
            ("SMACHE_LOG_FORMAT", "xml"),
            ("NODE_NAME", "me"),
        ],
        None,
    );
    assert_eq!(error.unwrap_err().0.len(), 4);
}

#[test]
fn unknown_names_stop_in_a_file_and_warn_in_the_environment() {
    let path = file(".yml", "max_memory: 1GB\n");
    let said = settings(&[], &[], Some(&path)).unwrap_err().to_string();
    assert!(
        said.contains("max_memory") && said.contains("perhaps max-memory"),
        "{said}"
    );

    let loaded = settings(&[], &[("SMACHE_MAXMEMORY", "1GB"), ("OTHER", "1")], None).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].contains("SMACHE_MAXMEMORY"),
        "{:?}",
        loaded.warnings
    );
    assert!(
        loaded.warnings[0].contains("perhaps max-memory"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn the_links_of_services_are_no_settings() {
    let loaded = settings(
        &[],
        &[
            ("SMACHE_PORT", "tcp://10.0.0.1:4000"),
            ("SMACHE_SERVICE_HOST", "10.0.0.1"),
            ("SMACHE_SERVICE_PORT", "4000"),
            ("SMACHE_SERVICE_PORT_HTTP", "4000"),
            ("SMACHE_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
            ("SMACHE_PORT_4000_TCP_PROTO", "tcp"),
            ("SMACHE_PORT_4000_TCP_PORT", "4000"),
            ("SMACHE_PORT_4000_TCP_ADDR", "10.0.0.1"),
            ("SMACHE_CLUSTER_PORT", "udp://10.0.0.2:4500"),
            ("SMACHE_CLUSTER_SERVICE_HOST", "10.0.0.2"),
            ("SMACHE_CLUSTER_PORT_4500_UDP_ADDR", "10.0.0.2"),
            ("SMACHE_URL", "http://localhost:4000"),
        ],
        None,
    )
    .unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    // Only the form that Kubernetes writes, and only in the variables that it writes.
    assert!(refused(&[], &[("PORT", "tcp://10.0.0.1:4000")]).contains("PORT"));
    assert!(refused(&[], &[("SMACHE_PORT", "http://10.0.0.1")]).contains("SMACHE_PORT"));
}

#[test]
fn a_value_given_twice_in_one_source_is_refused() {
    let said = refused(&[], &[("SMACHE_PORT", "1"), ("SMACHE_HTTP_PORT", "2")]);
    assert!(said.contains("sets it too"), "{said}");
    let path = file(".yaml", "port: 1\nhttp-port: 2\n");
    assert!(settings(&[], &[], Some(&path)).is_err());
    let said = refused(&[("cookie", "a"), ("cookie-file", "b")], &[]);
    assert!(said.contains("a cookie is given twice"), "{said}");
}

#[test]
fn a_cookie_may_come_from_a_file() {
    let path = file("", "  a long enough secret\n");
    let name = path.display().to_string();
    // The stronger source wins, whichever form it takes.
    let config = settings(&[("cookie-file", &name)], &[("COOKIE", "weaker")], None)
        .unwrap()
        .config;
    assert_eq!(
        config.cookie,
        Some(Secret("a long enough secret".to_owned()))
    );
    let config = settings(&[("cookie", "own")], &[("SMACHE_COOKIE_FILE", &name)], None).unwrap();
    assert_eq!(config.config.cookie, Some(Secret("own".to_owned())));
    assert!(refused(&[("cookie-file", "/nowhere/at/all")], &[]).contains("cannot be read"));
    let empty = file("", "\n").display().to_string();
    assert!(refused(&[("cookie-file", &empty)], &[]).contains("cookie-file"));
}

#[test]
fn secrets_stay_secret() {
    let path = file(".yaml", "cookie: 1234567890123456\n");
    let said = settings(&[], &[], Some(&path)).unwrap_err().to_string();
    assert!(
        said.contains("quotes") && !said.contains("1234567890"),
        "{said}"
    );
    let loaded = settings(&[], &[("COOKIE", "a very secret cookie")], None).unwrap();
    assert!(!loaded.to_yaml().contains("very secret"));
    assert!(!format!("{:?}", loaded.config).contains("very secret"));
}

#[test]
fn beyond_loopback_is_refused_with_the_way_out() {
    let said = refused(&[], &[("SMACHE_CLUSTER_BIND", "0.0.0.0")]);
    assert!(
        said.contains("variable SMACHE_CLUSTER_BIND") && said.contains("cookie"),
        "{said}"
    );
    let open = [
        ("SMACHE_CLUSTER_BIND", "::"),
        ("COOKIE", "0123456789abcdef"),
    ];
    assert!(refused(&[], &open).contains("cluster-trusted-network"));
    let flags = [("cluster-trusted-network", "true")];
    assert!(settings(&flags, &open, None).is_ok());
}

#[test]
fn a_file_may_be_named_by_a_variable() {
    let path = file(".toml", "port = 4321\nuplinks = ['a:1', '[::1]:2']\n");
    let named = [("SMACHE_CONFIG", path.to_str().unwrap())];
    assert_eq!(env(&named).http_port, Port::Exactly(4321));
    let flag = file(".yaml", "port: 1234\n");
    let loaded = settings(&[], &named, Some(&flag)).unwrap();
    assert_eq!(loaded.config.http_port, Port::Exactly(1234));
    for (path, part) in [
        ("/nowhere.yaml", "cannot be read"),
        ("/etc/hosts", "extensions"),
    ] {
        let said = refused(&[], &[("SMACHE_CONFIG", path)]);
        assert!(said.contains(path) && said.contains(part), "{said}");
    }
}

#[test]
fn what_is_printed_loads_to_the_same() {
    let secret = file("", "0123456789abcdef0123");
    let secret = secret.display().to_string();
    let all: Vec<(&str, &str)> = vec![
        ("node-name", "two@[::1]"),
        ("cluster-name", "another"),
        ("bind", "0.0.0.0"),
        ("port", "0"),
        ("cluster-bind", "::"),
        ("cluster-advertise", "10.0.0.1:4500"),
        ("uplinks", "a,b:1,[fd00::1]:2"),
        ("cookie-file", &secret),
        ("cluster-ca", "/certs/ca.pem"),
        ("cluster-cert", "certs/a b.pem"),
        ("cluster-key", "certs/key.pem"),
        ("cluster-trusted-network", "true"),
        ("join-timeout", "1m 30s"),
        ("max-memory", "100MB"),
        ("min-members", "2"),
        ("backups", "3"),
        ("acknowledge", "owner"),
        (
            "policies",
            "a=b:backups=0,acknowledge=backup \"q\":backups=1",
        ),
        ("handoff-rate", "100MB"),
        ("tombstone-horizon", "1h"),
        ("writers", "3"),
        ("threads", "2"),
        ("key-bytes-max", "100"),
        ("value-bytes-max", "1000000"),
        ("json-depth-max", "1"),
        ("drain-delay", "0s"),
        ("request-timeout", "1500ms"),
        ("log", "warn,smache=debug"),
        ("log-format", "json"),
    ];
    for flags in [&all[..], &[], &[("port", "4000")], &[("uplinks", "a")]] {
        let loaded = settings(flags, &[], None).unwrap();
        let path = file(".yaml", &loaded.to_yaml());
        let again = settings(&[], &[], Some(&path)).unwrap();
        assert_eq!(again.config, loaded.config, "{}", loaded.to_yaml());
    }
}

#[test]
fn distances() {
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("port", "port"), 0);
}
