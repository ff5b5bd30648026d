//! The tokens and their roles, as a file has them.
//!
//! ```text
//! # role   name        token, or its SHA-256
//! read     dashboard   sha256:d0b3…64 hexadecimal digits
//! write    shop        3kUEcO2b0f1WvYyVQ9qkq8Yw2y6gZ0
//! admin    operators   sha256:6c1f…
//! ```
//!
//! What is wrong is told with its line. No message repeats a word of the file: any of them may be a
//! token that stands in the wrong place, and messages end up in logs.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::Role;

/// Fewest bytes of a token that stands in the file itself: fewer can be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Most bytes of a token. Longer ones are not even hashed.
pub const TOKEN_BYTES_MAX: usize = 512;
/// Most tokens in a file: each request is compared with all of them.
pub const TOKENS_MAX: usize = 1_024;
/// Longest name of a token's holder.
const NAME_BYTES_MAX: usize = 64;
/// The name that stands for every holder, where a protocol asks for one.
const ANYBODY: &str = "default";

const PREFIX: &str = "sha256:";

/// What is left of a token in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; SHA256_OUTPUT_LEN]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Digest {
        let mut out = [0; SHA256_OUTPUT_LEN];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Digest(out)
    }

    /// `None` if it is too long to be a token.
    pub(super) fn of_token(token: &[u8]) -> Option<Digest> {
        (token.len() <= TOKEN_BYTES_MAX).then(|| Digest::of(token))
    }

    /// Reads 64 hexadecimal digits.
    fn from_hex(hex: &str) -> Option<Digest> {
        let hex = hex.as_bytes();
        let mut out = [0; SHA256_OUTPUT_LEN];
        if hex.len() != 2 * out.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(Digest(out))
    }
}

/// A line that cannot stand, or a file that holds none that could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which line, from 1; `None` is the whole file.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub wrong: &'static str,
    /// What would be right.
    pub right: &'static str,
}

impl std::error::Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}; right: {}", self.wrong, self.right),
            None => write!(f, "{}; right: {}", self.wrong, self.right),
        }
    }
}

const RIGHT: &str = "`role name token`, as in `read dashboard sha256:…`";

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    role: Role,
    name: String,
    digest: Digest,
}

/// Tokens with their roles; at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<Entry>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders = self.0.iter().map(|entry| (&entry.name, entry.role));
        f.debug_map().entries(holders).finish()
    }
}

impl Tokens {
    /// Reads the text of a file: a line for each token, `role name token`, with white space between
    /// them. The role is `read`, `write` or `admin`. The name is for people; several tokens may have
    /// the same, so that one can replace the other. The token is the token itself, 16 to 512 visible
    /// ASCII characters, or `sha256:` and its digest in hexadecimal digits. Empty lines count for
    /// nothing, nor do those that begin with `#`.
    ///
    /// ```
    /// use smache::access::{Access, Role, Tokens};
    ///
    /// let tokens = Tokens::parse(b"# who may what\nwrite shop 3kUEcO2b0f1WvYyVQ9qkq8Yw\n")?;
    /// let access = Access::of(tokens);
    /// assert_eq!(access.role_of(b"3kUEcO2b0f1WvYyVQ9qkq8Yw"), Some(Role::Write));
    /// assert_eq!(access.role_of(b"another"), None);
    /// # Ok::<(), smache::access::Wrong>(())
    /// ```
    ///
    /// # Errors
    /// The first line that is anything else.
    pub fn parse(text: &[u8]) -> Result<Tokens, Wrong> {
        let mut entries: Vec<Entry> = Vec::new();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |(wrong, right): (&'static str, &'static str)| Wrong {
                line: Some(at + 1),
                wrong,
                right,
            };
            let line = std::str::from_utf8(line).map_err(|_| wrong(("it is no text", RIGHT)))?;
            // What some editors put before everything else.
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = Entry::parse(line).map_err(wrong)?;
            if entries.iter().any(|other| other.digest == entry.digest) {
                let twice = "its token stands on a line before it, too";
                return Err(wrong((twice, "each token once, with one role")));
            }
            if entries.len() == TOKENS_MAX {
                return Err(wrong(("there are too many tokens", "at most 1024")));
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(Wrong {
                line: None,
                wrong: "holds no token, so that nobody could do anything",
                right: RIGHT,
            });
        }
        Ok(Tokens(entries))
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The role of a token, if it is one of these.
    #[must_use]
    pub fn role_of(&self, token: &[u8]) -> Option<Role> {
        self.find(&Digest::of_token(token)?)
    }

    /// Looks at all of them, whichever it is.
    pub(super) fn find(&self, digest: &Digest) -> Option<Role> {
        let mut found = 0;
        for entry in &self.0 {
            let same = entry.digest.0.ct_eq(&digest.0);
            found.conditional_assign(&(entry.role as u8 + 1), same);
        }
        Role::ALL.into_iter().find(|role| *role as u8 + 1 == found)
    }

    /// Whether the token with this digest may be shown with this name.
    pub(super) fn is_named(&self, digest: &Digest, name: &[u8]) -> bool {
        let mut holds = subtle::Choice::from(0);
        for entry in &self.0 {
            let same = entry.digest.0.ct_eq(&digest.0);
            holds |= same & entry.name.as_bytes().ct_eq(name);
        }
        name == ANYBODY.as_bytes() || bool::from(holds)
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Entry, (&'static str, &'static str)> {
        let mut words = line.split_whitespace();
        let (role, name, token) = match (words.next(), words.next(), words.next()) {
            (Some(role), Some(name), Some(token)) => (role, name, token),
            _ => return Err(("it has fewer than three words", RIGHT)),
        };
        if words.next().is_some() {
            let right = "`role name token`; comments stand on lines of their own";
            return Err(("there is something behind the token", right));
        }
        let role = Role::ALL.into_iter().find(|known| known.name() == role);
        let role = role.ok_or(("its first word is no role", "read, write or admin"))?;
        Ok(Entry {
            role,
            name: check_name(name)?.to_owned(),
            digest: read_token(token)?,
        })
    }
}

fn check_name(name: &str) -> Result<&str, (&'static str, &'static str)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if name == ANYBODY {
        return Err((
            "its name is `default`, which stands for everybody where a protocol asks for a name",
            "another name",
        ));
    }
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err((
            "its second word is no name",
            "at most 64 letters, digits and `._@-`",
        ));
    }
    Ok(name)
}

fn read_token(token: &str) -> Result<Digest, (&'static str, &'static str)> {
    if let Some(hex) = token.strip_prefix(PREFIX) {
        return Digest::from_hex(hex).ok_or((
            "what follows sha256: is no digest",
            "64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them",
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("its token has other characters than visible ASCII", RIGHT));
    }
    match token.len() {
        0..TOKEN_BYTES_MIN => Err((
            "its token is short enough to be guessed",
            "at least 16 characters, as from `openssl rand -hex 32`",
        )),
        TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX => Ok(Digest::of(token.as_bytes())),
        _ => Err(("its token is too long", "at most 512 characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "3kUEcO2b0f1WvYyVQ9qkq8Yw";

    fn refused(text: impl AsRef<[u8]>) -> String {
        Tokens::parse(text.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn digests_and_tokens_are_told_apart() {
        // printf %s 'the operators token' | sha256sum
        let hex = "f0d4e1a1d2a0b2ed2a0b5d2fb2ad7c2b6ba1a0ddf3d2f2ae2f61d4e5a0e9c5b1";
        assert!(Digest::from_hex(hex).is_some());
        let abc = "BA7816BF8F01CFEA414140DE5DAE2223b00361a396177a9cb410ff61f20015ad";
        let text =
            format!("\u{feff}# all\r\n\n  read\tone sha256:{abc}\r\nwrite  two {SHOP}  \n#end");
        let tokens = Tokens::parse(text.as_bytes()).unwrap();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens.role_of(b"abc"), Some(Role::Read));
        assert_eq!(tokens.role_of(SHOP.as_bytes()), Some(Role::Write));
        for wrong in ["", "ab", "abcd", abc, &format!("sha256:{abc}")] {
            assert_eq!(tokens.role_of(wrong.as_bytes()), None, "{wrong}");
        }
        let shown = format!("{tokens:?}");
        assert_eq!(shown, "{\"one\": Read, \"two\": Write}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_words() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        let name = "n".repeat(NAME_BYTES_MAX + 1);
        let short = "x".repeat(TOKEN_BYTES_MIN - 1);
        let secret = "QmVhcmVyIHNlY3JldA";
        let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a";
        let cases = [
            (secret.to_owned(), "line 1: it has fewer than three words"),
            (format!("\n\nread {secret}"), "line 3: it has fewer than"),
            (
                format!("reed a {secret}"),
                "line 1: its first word is no role; right: read",
            ),
            (
                format!("Read a {secret}"),
                "line 1: its first word is no role",
            ),
            (
                format!("#\n{secret} a read"),
                "line 2: its first word is no role",
            ),
            (format!("read a,b {secret}"), "its second word is no name"),
            (
                format!("read {name} {secret}"),
                "its second word is no name",
            ),
            (
                format!("read default {secret}"),
                "`default`, which stands for everybody",
            ),
            (
                format!("read a {secret} # of a"),
                "comments stand on lines of their own",
            ),
            (
                format!("read a {short}"),
                "short enough to be guessed; right: at least 16",
            ),
            (format!("read a {long}"), "its token is too long"),
            (
                format!("read a {secret}\u{e4}"),
                "other characters than visible ASCII",
            ),
            (
                format!("read a {digest}"),
                "what follows sha256: is no digest",
            ),
            (
                format!("read a {digest}g"),
                "what follows sha256: is no digest",
            ),
            (
                format!("read a {secret}\nwrite b {secret}"),
                "line 2: its token stands on a line",
            ),
            (String::new(), "holds no token, so that nobody"),
            ("# read a 1234567890123456\n".to_owned(), "holds no token"),
        ];
        for (text, said) in cases {
            let wrong = refused(&text);
            assert!(wrong.contains(said), "{text:?}: {wrong}");
            assert!(wrong.contains("; right: "), "{wrong}");
            for secret in [secret, &long, &short, &digest[7..]] {
                assert!(!wrong.contains(secret), "{wrong}");
            }
        }
        assert!(refused(b"read a \xff0123456789abcdef").starts_with("line 1: it is no text"));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let line = |n: usize| format!("read a {n:016}\n");
        let text: String = (0..TOKENS_MAX).map(line).collect();
        assert_eq!(Tokens::parse(text.as_bytes()).unwrap().len(), TOKENS_MAX);
        let said = refused(text + &line(TOKENS_MAX));
        assert_eq!(
            said,
            "line 1025: there are too many tokens; right: at most 1024"
        );
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        let tokens = Tokens::parse(format!("read a {longest}").as_bytes()).unwrap();
        assert_eq!(tokens.role_of(longest.as_bytes()), Some(Role::Read));
        assert_eq!(tokens.role_of((longest + "x").as_bytes()), None);
    }

    #[test]
    fn a_name_goes_with_its_token() {
        let text =
            format!("read one {SHOP}\nwrite two {SHOP}{SHOP}\nread two other-token-of-two\n");
        let tokens = Tokens::parse(text.as_bytes()).unwrap();
        let named = |token: &str, name: &str| {
            let digest = Digest::of(token.as_bytes());
            tokens.is_named(&digest, name.as_bytes())
        };
        assert!(named(SHOP, "one") && named(SHOP, "default"));
        assert!(named("other-token-of-two", "two"));
        assert!(!named(SHOP, "two") && !named(SHOP, "") && !named("nobody's", "one"));
    }
}
