//! How one value of a setting is written, whatever it was read from.
//!
//! Every source hands over a [`Raw`]; one function per type reads it, so that a size means the same
//! as a flag, in a variable and in a file. What cannot be read comes back as a [`Reject`], which
//! says what is wrong and what would be right; the loader adds which setting it was and where it
//! came from.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use bytesize::ByteSize;

use super::{LogFormat, Uplink};

/// A value as its source gave it: flags and variables are always text.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// Text.
    Text(String),
    /// A number in a file, as it was written out again.
    Number(String),
    /// `true` or `false` in a file.
    Bool(bool),
    /// Several values: a flag given repeatedly, or a list in a file.
    List(Vec<String>),
    /// A mapping in a file.
    Table(Vec<(String, Raw)>),
}

impl Raw {
    /// Text from a flag or a variable.
    pub fn text(text: impl Into<String>) -> Raw {
        Raw::Text(text.into())
    }

    /// For messages: the value as its author wrote it.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Raw::Text(text) => format!("`{text}`"),
            Raw::Number(number) => format!("the number `{number}`"),
            Raw::Bool(value) => format!("`{value}`"),
            Raw::List(_) => "a list".to_owned(),
            Raw::Table(_) => "a table".to_owned(),
        }
    }

    /// Whether it is the empty text, which for some settings means none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Raw::Text(text) => text.is_empty(),
            Raw::List(items) => items.is_empty(),
            Raw::Table(entries) => entries.is_empty(),
            Raw::Number(_) | Raw::Bool(_) => false,
        }
    }

    /// Text or a number; `None` for the rest.
    fn scalar(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Number(text) => Some(text),
            Raw::Bool(_) | Raw::List(_) | Raw::Table(_) => None,
        }
    }
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// What is wrong with it.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl Reject {
    /// A value that is not what it should be, such as "a port".
    pub(super) fn not(raw: &Raw, what: &str, right: &str) -> Reject {
        Reject {
            wrong: format!("{} is not {what}", raw.display()),
            right: right.to_owned(),
        }
    }
}

const PORT_RIGHT: &str = "a number from 0 to 65535, where 0 lets the system choose";

/// A port.
///
/// # Errors
/// When it is no number from 0 to 65535.
pub fn port(raw: &Raw) -> Result<u16, Reject> {
    digits(raw).ok_or_else(|| Reject::not(raw, "a port", PORT_RIGHT))
}

/// A plain number.
///
/// # Errors
/// When it is not a whole number that fits.
pub fn count(raw: &Raw) -> Result<usize, Reject> {
    digits(raw).ok_or_else(|| Reject::not(raw, "a whole number", "digits only, as in 128"))
}

/// Digits only: no sign, no white space, unlike [`str::parse`].
pub(super) fn digits<T: std::str::FromStr>(raw: &Raw) -> Option<T> {
    let text = raw.scalar()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A number of bytes: plain, or with a unit. kB, MB, GB are powers of 1,000; KiB, MiB, GiB of
/// 1,024.
///
/// # Errors
/// When it is no size, or more than 2^63 bytes.
pub fn size(raw: &Raw) -> Result<u64, Reject> {
    const RIGHT: &str =
        "bytes, plain or with a unit, as in 67108864, 64MiB (1,024 x 1,024) or 100MB (1,000,000)";
    raw.scalar()
        .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
        .and_then(|text| text.parse::<ByteSize>().ok())
        .map(|size| size.as_u64())
        // The parser clamps what overflows; nothing that large was ever meant.
        .filter(|bytes| *bytes < 1 << 63)
        .ok_or_else(|| Reject::not(raw, "a size", RIGHT))
}

/// [`size`] for what is held in memory.
///
/// # Errors
/// Those of [`size`].
pub fn length(raw: &Raw) -> Result<usize, Reject> {
    let bytes = size(raw)?;
    usize::try_from(bytes).map_err(|_| Reject::not(raw, "a size that fits in memory", "less"))
}

/// A span of time with its unit.
///
/// # Errors
/// When it has no unit, or is longer than a year.
pub fn duration(raw: &Raw) -> Result<Duration, Reject> {
    const RIGHT: &str = "a number and its unit, as in 300ms, 2s, 5m or 1h";
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
    if let Some(number) = digits::<u64>(raw) {
        return Err(Reject {
            wrong: format!("`{number}` has no unit"),
            right: format!("{RIGHT}; write {number}s if seconds are meant"),
        });
    }
    raw.scalar()
        .and_then(|text| humantime::parse_duration(text).ok())
        .filter(|span| *span <= LONGEST)
        .ok_or_else(|| Reject::not(raw, "a span of time (of at most a year)", RIGHT))
}

/// A switch.
///
/// # Errors
/// When it is neither `true` nor `false`.
pub fn switch(raw: &Raw) -> Result<bool, Reject> {
    match raw {
        Raw::Bool(value) => Ok(*value),
        Raw::Text(text) if text == "true" => Ok(true),
        Raw::Text(text) if text == "false" => Ok(false),
        _ => Err(Reject::not(raw, "a switch", "true or false")),
    }
}

/// Text. A bare number in a file is refused: its leading zeros are already lost.
///
/// # Errors
/// When it is no text, or empty.
pub fn text(raw: &Raw) -> Result<String, Reject> {
    match raw {
        Raw::Text(text) if text.is_empty() => Err(Reject {
            wrong: "it is empty".to_owned(),
            right: "some text; leave the setting out to have its default".to_owned(),
        }),
        Raw::Text(text) => Ok(text.clone()),
        _ => Err(Reject::not(
            raw,
            "text",
            "text; in a file, put it in \"quotes\"",
        )),
    }
}

/// An address to listen on.
///
/// # Errors
/// When it is no IP address.
pub fn address(raw: &Raw) -> Result<IpAddr, Reject> {
    const RIGHT: &str = "an IP address: 127.0.0.1 for this machine only, 0.0.0.0 (or ::) for all";
    match raw {
        Raw::Text(text) if text == "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        Raw::Text(text) => unbracket(text).parse().ok(),
        _ => None,
    }
    .ok_or_else(|| Reject::not(raw, "an address to listen on", RIGHT))
}

/// How log lines look.
///
/// # Errors
/// When it is neither `text` nor `json`.
pub fn log_format(raw: &Raw) -> Result<LogFormat, Reject> {
    match raw {
        Raw::Text(text) if text == "text" => Ok(LogFormat::Text),
        Raw::Text(text) if text == "json" => Ok(LogFormat::Json),
        _ => Err(Reject::not(raw, "a form of log", "text or json")),
    }
}

/// Hosts to join through: a list, or one text with commas. Empty is none.
///
/// # Errors
/// When one of them is no host.
pub fn uplinks(raw: &Raw) -> Result<Vec<Uplink>, Reject> {
    let items: Vec<&str> = match raw {
        Raw::Text(text) => text.split(',').collect(),
        Raw::List(items) => items.iter().flat_map(|item| item.split(',')).collect(),
        _ => return Err(Reject::not(raw, "a list of hosts", UPLINK_RIGHT)),
    };
    items
        .into_iter()
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(uplink)
        .collect()
}

const UPLINK_RIGHT: &str = "host or host:port, as in uplink, 10.0.0.7:4500 or [fd00::7]:4500, \
     with commas between several";

/// One host to join through, as [`Uplink`]'s `Display` writes it.
///
/// # Errors
/// When it is no host, or its port is none.
pub fn uplink(text: &str) -> Result<Uplink, Reject> {
    let reject = |what: &str| Reject::not(&Raw::text(text), what, UPLINK_RIGHT);
    // An IPv6 address without brackets has colons of its own.
    let bare_v6 = text.parse::<Ipv6Addr>().is_ok();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = port
        .map(|port| self::port(&Raw::text(port)))
        .transpose()
        .map_err(|_| reject("a host with a port"))?;
    if port == Some(0) {
        return Err(reject("a port that can be connected to"));
    }
    // Brackets hold an IPv6 address, never a name.
    let bare = unbracket(host);
    let v6 = bare.parse::<Ipv6Addr>().is_ok();
    if !v6 && !is_host(host) {
        return Err(reject("a host"));
    }
    let host = bare;
    Ok(Uplink {
        host: host.to_owned(),
        port,
    })
}

/// Checks the name of a cluster.
///
/// # Errors
/// When it is empty, too long, or has other characters than names of hosts have.
pub fn check_cluster_name(name: &str) -> Result<(), Reject> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    Err(Reject {
        wrong: format!("`{name}` is no name for a cluster"),
        right: "letters, digits, `-`, `_` and `.`, at most 64 bytes".to_owned(),
    })
}

/// `name@host`.
///
/// # Errors
/// When a part is missing, too long, or has characters that a name may not have.
pub fn check_node_name(name: &str) -> Result<(), Reject> {
    const RIGHT: &str =
        "name@host, as in smache@localhost: letters, digits, `-`, `_` and `.`, at most 255 bytes";
    let fail = |wrong: String| {
        Err(Reject {
            wrong,
            right: RIGHT.to_owned(),
        })
    };
    if name.len() > 255 {
        return fail(format!("it is {} bytes long", name.len()));
    }
    let Some((own, host)) = name.split_once('@') else {
        return fail(format!("`{name}` has no `@`"));
    };
    if own.is_empty() || host.is_empty() {
        return fail(format!("`{name}` has nothing on one side of the `@`"));
    }
    let host = unbracket(host);
    let odd = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
    let odd_host = |c: char| odd(c) && c != ':';
    match own
        .chars()
        .find(|c| odd(*c))
        .or(host.chars().find(|c| odd_host(*c)))
    {
        Some(c) => fail(format!("`{name}` has the character {c:?}")),
        None if host.contains(':') && host.parse::<Ipv6Addr>().is_err() => {
            fail(format!("`{host}` is not a host"))
        }
        None => Ok(()),
    }
}

/// A DNS name or an IPv4 address. Underscores are allowed, since names of services have them.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= 253 && name.split('.').all(label)
}

fn unbracket(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Raw {
        Raw::text(text)
    }

    #[test]
    fn sizes_tell_mb_from_mib() {
        for (written, bytes) in [
            ("0", 0),
            ("100", 100),
            ("100MB", 100_000_000),
            ("64MiB", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2 kB", 2_000),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(size(&t(written)), Ok(bytes), "{written}");
        }
        assert_eq!(size(&Raw::Number("4096".to_owned())), Ok(4096));
        for wrong in [
            "",
            "MB",
            "100XB",
            "-1",
            "-1MB",
            "1e9",
            "99999999PB",
            " 1MB",
            "+5",
        ] {
            assert!(size(&t(wrong)).is_err(), "{wrong}");
        }
        assert!(size(&Raw::Bool(true)).is_err());
    }

    #[test]
    fn durations_need_their_unit() {
        for (written, ms) in [("300ms", 300), ("2s", 2_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(&t(written)), Ok(Duration::from_millis(ms)));
        }
        let reject = duration(&Raw::Number("2".to_owned())).unwrap_err();
        assert!(reject.wrong.contains("no unit"), "{reject:?}");
        assert!(reject.right.contains("2s"), "{reject:?}");
        for wrong in ["", "2", "0", "-2s", "2 parsecs", "400days", "s"] {
            assert!(duration(&t(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_digits() {
        assert_eq!(port(&t("0")), Ok(0));
        assert_eq!(port(&t("65535")), Ok(65535));
        for wrong in [
            "",
            "65536",
            "-1",
            "+1",
            "http",
            "4000 ",
            "tcp://10.0.0.1:4000",
        ] {
            assert!(port(&t(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn uplinks_may_carry_a_port() {
        let one = |host: &str, port| Uplink {
            host: host.to_owned(),
            port,
        };
        for (written, want) in [
            ("localhost", one("localhost", None)),
            ("smache_two:4501", one("smache_two", Some(4501))),
            ("10.0.0.7:4500", one("10.0.0.7", Some(4500))),
            ("[fd00::7]:4500", one("fd00::7", Some(4500))),
            ("[fd00::7]", one("fd00::7", None)),
            ("fd00::7", one("fd00::7", None)),
            (
                "node.svc.cluster.local.",
                one("node.svc.cluster.local.", None),
            ),
        ] {
            let read = uplink(written).unwrap();
            assert_eq!(read, want);
            assert_eq!(uplink(&read.to_string()), Ok(want), "{written} reads back");
        }
        for wrong in [
            "a b",
            "host:",
            "host:0",
            "host:70000",
            ":4500",
            "smache@host",
            "a..b",
            "[x]",
        ] {
            assert!(uplink(wrong).is_err(), "{wrong}");
        }
        assert_eq!(uplinks(&t("")), Ok(Vec::new()));
        assert_eq!(uplinks(&t("a, b:1,")).unwrap().len(), 2);
        let list = Raw::List(vec!["a".to_owned(), "b,c".to_owned()]);
        assert_eq!(uplinks(&list).unwrap().len(), 3);
    }

    #[test]
    fn node_names_have_two_parts() {
        for right in [
            "smache@localhost",
            "smache_two@10.0.0.1",
            "a@[fd00::1]",
            "a@fd00::1",
        ] {
            assert_eq!(check_node_name(right), Ok(()), "{right}");
        }
        let long = format!("{}@host", "n".repeat(251));
        for wrong in [
            "", "smache", "@host", "smache@", "a b@host", "a@b@c", "a@b:c", &long,
        ] {
            assert!(check_node_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tables_are_no_values_of_their_own() {
        let table = Raw::Table(vec![("a".to_owned(), t("1"))]);
        assert!(port(&table).is_err() && size(&table).is_err() && uplinks(&table).is_err());
        assert!(text(&table).is_err() && switch(&table).is_err());
    }

    #[test]
    fn cluster_names() {
        let long = "n".repeat(65);
        assert_eq!(check_cluster_name("eu-1.prod_a"), Ok(()));
        for wrong in ["", "a b", "a/b", "ü", &long] {
            assert!(check_cluster_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_is_not_guessed_from_numbers() {
        assert!(text(&Raw::Number("123".to_owned())).is_err());
        assert!(text(&t("")).is_err());
        assert_eq!(text(&t("0123")), Ok("0123".to_owned()));
    }

    #[test]
    fn switches_and_addresses() {
        assert_eq!(switch(&Raw::Bool(true)), Ok(true));
        assert_eq!(switch(&t("false")), Ok(false));
        assert!(switch(&t("yes")).is_err());
        assert_eq!(address(&t("::")), Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        assert_eq!(address(&t("localhost")), address(&t("127.0.0.1")));
        assert!(address(&t("eth0")).is_err());
        assert!(address(&t("127.0.0.1:4000")).is_err());
    }
}
