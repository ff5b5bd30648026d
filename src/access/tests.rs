//! Roles against needs, and tokens that come and go while connections stay.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

const READER: &[u8] = b"the-readers-token";
const WRITER: &[u8] = b"the-writers-token";
const ADMIN: &[u8] = b"the-admins-token";
const TEXT: &str =
    "read r the-readers-token\nwrite w the-writers-token\nadmin a the-admins-token\n";

fn tokens(text: &str) -> Tokens {
    Tokens::parse(text.as_bytes()).unwrap()
}

#[test]
fn each_role_includes_those_before_it() {
    use Need::{Admin, Nothing, Read, Write};
    let allowed = |role: Role| [Nothing, Read, Write, Admin].map(|need| role.allows(need));
    assert_eq!(allowed(Role::Read), [true, true, false, false]);
    assert_eq!(allowed(Role::Write), [true, true, true, false]);
    assert_eq!(allowed(Role::Admin), [true, true, true, true]);
    for need in [Nothing, Read, Write, Admin] {
        for role in Role::ALL {
            let least = need.role().is_none_or(|least| role >= least);
            assert_eq!(role.allows(need), least, "{role} {need:?}");
        }
    }
}

#[test]
fn an_open_access_asks_nobody() {
    let access = Access::open();
    assert!(access.is_open());
    assert_eq!(access.role_of(b""), Some(Role::Admin));
    for need in [Need::Nothing, Need::Read, Need::Write, Need::Admin] {
        assert_eq!(access.check(None, need), Ok(Role::Admin));
        assert_eq!(access.check(Some(b"any"), need), Ok(Role::Admin));
    }
    let mut pass = access.admit_named(b"anybody", b"any").unwrap();
    assert_eq!(access.role(&mut pass), Some(Role::Admin));
    assert_eq!(access.figures(), None);
}

#[test]
fn who_is_refused_hears_why_and_is_counted() {
    let access = Access::of(tokens(TEXT));
    assert!(!access.is_open());
    assert_eq!(access.check(Some(READER), Need::Read), Ok(Role::Read));
    assert_eq!(access.check(Some(WRITER), Need::Read), Ok(Role::Write));
    assert_eq!(access.check(Some(ADMIN), Need::Admin), Ok(Role::Admin));
    assert_eq!(access.check(None, Need::Read), Err(Refused::Missing));
    for unknown in [&b"the-readers-toke"[..], b"the-readers-token ", b"", b"r"] {
        let said = access.check(Some(unknown), Need::Read);
        assert_eq!(said, Err(Refused::Unknown), "{unknown:?}");
    }
    let less = Err(Refused::Role {
        role: Role::Read,
        needed: Role::Write,
    });
    assert_eq!(access.check(Some(READER), Need::Write), less);
    assert_eq!(access.check_role(Role::Read, Need::Write), less);
    assert_eq!(access.check_role(Role::Admin, Need::Write), Ok(Role::Admin));
    // Where nothing is needed nobody is refused, whatever is shown.
    assert_eq!(access.check(None, Need::Nothing), Ok(Role::Read));
    assert_eq!(access.check(Some(b"wrong"), Need::Nothing), Ok(Role::Read));
    assert_eq!(access.check(Some(ADMIN), Need::Nothing), Ok(Role::Admin));
    let figures = access.figures().unwrap();
    let counted = (figures.missing, figures.unknown, figures.role);
    assert_eq!((figures.tokens, counted), (3, (1, 4, 2)));
}

#[test]
fn a_pass_goes_with_a_token_and_its_name() {
    let access = Access::of(tokens(TEXT));
    for name in ["r", "default"] {
        let mut pass = access.admit_named(name.as_bytes(), READER).unwrap();
        assert_eq!(access.role(&mut pass), Some(Role::Read));
    }
    for (name, token) in [("w", READER), ("", READER), ("r", &b"wrong"[..])] {
        let said = access.admit_named(name.as_bytes(), token);
        assert_eq!(said.unwrap_err(), Refused::Unknown, "{name}");
    }
    assert_eq!(access.figures().unwrap().unknown, 3);
}

/// Waits, in the test's own time.
async fn until(what: &str, met: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_counts_and_a_broken_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let said = Access::load(&path).unwrap_err().to_string();
    assert!(said.contains("cannot be read"), "{said}");
    fs::write(&path, "read r short").unwrap();
    let said = Access::load(&path).unwrap_err().to_string();
    let head = format!("tokens: {} line 1: ", path.display());
    assert!(said.starts_with(&head), "{said}");

    fs::write(&path, TEXT).unwrap();
    let access = Access::load(&path).unwrap();
    let watching = tokio::spawn(access.clone().watch());
    let mut passes = [READER, WRITER].map(|token| access.admit(token).unwrap());
    let reloads = || access.figures().unwrap().reloads;

    // The reader is taken out, the writer becomes a reader, somebody is new.
    fs::write(&path, "read w the-writers-token\nread n the-new-ones-token").unwrap();
    until("the new ones count", || reloads().done == 1).await;
    let [reader, writer] = &mut passes;
    assert_eq!(access.role(reader), None);
    assert_eq!(access.role(writer), Some(Role::Read));
    assert_eq!(access.role(writer), Some(Role::Read));
    assert_eq!(access.role_of(READER), None);
    assert_eq!(access.role_of(b"the-new-ones-token"), Some(Role::Read));

    for broken in ["", "read w", "everybody may do everything"] {
        let before = reloads().failed;
        fs::write(&path, broken).unwrap();
        until("it is found to be broken", || reloads().failed > before).await;
        assert_eq!(access.role_of(b"the-new-ones-token"), Some(Role::Read));
    }
    fs::remove_file(&path).unwrap();
    until("it is found to be missing", || reloads().failed == 4).await;
    assert_eq!(access.role(writer), Some(Role::Read));

    // A token that comes back counts again.
    fs::write(&path, TEXT).unwrap();
    until("it is mended", || reloads().done == 2).await;
    assert_eq!(access.role(reader), Some(Role::Read));
    assert_eq!(access.role(writer), Some(Role::Write));
    assert_eq!(access.figures().unwrap().tokens, 3);
    assert!(!watching.is_finished());
    watching.abort();
}
