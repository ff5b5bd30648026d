//! Who may do what: tokens with roles, one set for all doors.
//!
//! A client shows a token, each door in its own way; the token has a [`Role`], and what a request
//! does has a [`Need`]. [`Access::check`] is asked before anything else is done, and says which role
//! the client has, or why it is [`Refused`]. Without a file of tokens everybody may do everything
//! ([`Access::open`]).
//!
//! What holds:
//!
//! - Of tokens only SHA-256 digests are kept. One that is shown is hashed, and compared with all of
//!   them in a time that does not depend on which one it is, or how much of it is right.
//! - The file is read again when it changes ([`Access::watch`]). A request is judged by the tokens of
//!   its moment: one that is taken out of the file counts no more, also on connections that are open.
//!   A connection that shows its token once keeps a [`Pass`], and asks for its role with each
//!   command.
//! - A file that is no good changes nothing: the tokens that were read before stay.
//!
//! Called by the doors; `tokens` reads the file.

mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::tokens::{Digest, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, TOKENS_MAX, Tokens, Wrong};

use crate::files::{self, Live, Reloads, Source};

/// The setting that names the file.
const SETTING: &str = "tokens";

/// What a token is good for. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// To read keys, and what a node says of itself.
    Read,
    /// To change keys.
    Write,
    /// To change how nodes work, and to remove everything at once.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Read, Role::Write, Role::Admin];

    /// Whether it is enough.
    #[must_use]
    pub fn allows(self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Read => self >= Role::Read,
            Need::Write => self >= Role::Write,
            Need::Admin => self >= Role::Admin,
        }
    }

    /// As the file of tokens has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What it takes to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nobody is asked.
    Nothing,
    /// At least [`Role::Read`].
    Read,
    /// At least [`Role::Write`].
    Write,
    /// [`Role::Admin`].
    Admin,
}

impl Need {
    /// The least role that will do.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Need::Nothing => None,
            Need::Read => Some(Role::Read),
            Need::Write => Some(Role::Write),
            Need::Admin => Some(Role::Admin),
        }
    }
}

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token was shown.
    #[error("this node asks for a token")]
    Missing,
    /// There is no such token, or not any more.
    #[error("the token is not one of this node's")]
    Unknown,
    /// The token is good for less.
    #[error("this takes a token with the role {needed}; this one has the role {role}")]
    Role {
        /// The token's.
        role: Role,
        /// The least that will do.
        needed: Role,
    },
}

/// What has become of requests and of the file, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Tokens that count now.
    pub tokens: usize,
    /// Requests refused because they showed no token.
    pub missing: u64,
    /// Requests refused because there is no such token.
    pub unknown: u64,
    /// Requests refused because their token has a lesser role.
    pub role: u64,
    /// What became of changed files.
    pub reloads: Reloads,
}

/// The tokens that count, and the questions after them; cheap to clone. See the module.
#[derive(Clone, Debug, Default)]
pub struct Access(Option<Arc<Guarded>>);

#[derive(Debug)]
struct Guarded {
    present: Present,
    missing: AtomicU64,
    unknown: AtomicU64,
    role: AtomicU64,
}

#[derive(Debug)]
enum Present {
    Fixed(Arc<Tokens>),
    File(Arc<Live<TokenFile>>),
}

/// The file that tokens come from.
#[derive(Debug)]
struct TokenFile(PathBuf);

impl Source for TokenFile {
    const WHAT: &'static str = "tokens";
    // Not its text: that would keep the tokens themselves in memory.
    type Files = Result<Tokens, Wrong>;
    type Made = Tokens;

    fn read(&self) -> Result<Self::Files, files::Error> {
        Ok(Tokens::parse(&files::read(SETTING, &self.0)?))
    }

    fn make(&self, files: &Self::Files) -> Result<Tokens, files::Error> {
        let good = files.clone();
        good.map_err(|wrong| files::Error::new(SETTING, &self.0, wrong.to_string()))
    }

    fn warn(&self, _made: &Tokens) {
        files::warn_if_others_read(SETTING, &self.0);
    }
}

/// A token that was shown once, on a connection that goes on.
#[derive(Clone, Debug)]
pub struct Pass {
    digest: Digest,
    role: Role,
    /// The tokens among which it was found; looked up again when others count.
    among: Option<Arc<Tokens>>,
}

impl Access {
    /// No tokens: everybody may do everything.
    #[must_use]
    pub fn open() -> Access {
        Access(None)
    }

    /// These tokens, as long as the process lives.
    #[must_use]
    pub fn of(tokens: Tokens) -> Access {
        Access::guarded(Present::Fixed(Arc::new(tokens)))
    }

    /// The tokens of a file; see [`Tokens::parse`] for its form, and [`Access::watch`].
    ///
    /// # Errors
    /// When it cannot be read, or is no good.
    pub fn load(path: &Path) -> Result<Access, files::Error> {
        let file = Live::load(TokenFile(path.to_owned()))?;
        Ok(Access::guarded(Present::File(Arc::new(file))))
    }

    fn guarded(present: Present) -> Access {
        Access(Some(Arc::new(Guarded {
            present,
            missing: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            role: AtomicU64::new(0),
        })))
    }

    /// Whether everybody may do everything. What doors do before all else, where every instruction
    /// counts.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// The role of a token, if there is such a token. Of an open access every token has every role.
    #[must_use]
    pub fn role_of(&self, token: &[u8]) -> Option<Role> {
        match &self.0 {
            None => Some(Role::Admin),
            Some(guarded) => guarded.with(|tokens| tokens.role_of(token)),
        }
    }

    /// Whether whoever shows this token, or none, may do what has this need; and its role. Refusals
    /// are counted. Who needs nothing has the role that the token has, or the least.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, token: Option<&[u8]>, need: Need) -> Result<Role, Refused> {
        let Some(guarded) = &self.0 else {
            return Ok(Role::Admin);
        };
        let role = match token {
            None => Err(Refused::Missing),
            Some(token) => guarded
                .with(|tokens| tokens.role_of(token))
                .ok_or(Refused::Unknown),
        };
        guarded.judge(role, need)
    }

    /// As [`Access::check`], of a client whose role is known already.
    ///
    /// # Errors
    /// [`Refused::Role`].
    pub fn check_role(&self, role: Role, need: Need) -> Result<Role, Refused> {
        match &self.0 {
            None => Ok(role),
            Some(guarded) => guarded.judge(Ok(role), need),
        }
    }

    /// Lets a connection in that shows its token once. An unknown one is counted.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub fn admit(&self, token: &[u8]) -> Result<Pass, Refused> {
        let Some(guarded) = &self.0 else {
            return Ok(Pass {
                digest: Digest::of(b""),
                role: Role::Admin,
                among: None,
            });
        };
        let digest = Digest::of_token(token);
        let found = digest.and_then(|digest| {
            let tokens = guarded.tokens();
            let role = tokens.find(&digest)?;
            let among = Some(tokens);
            Some(Pass {
                digest,
                role,
                among,
            })
        });
        found.ok_or_else(|| guarded.refuse(Refused::Unknown))
    }

    /// As [`Access::admit`], for doors whose clients show a name as well: it must be the one that the
    /// token has in the file, or `default`, which stands for all of them.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub fn admit_named(&self, name: &[u8], token: &[u8]) -> Result<Pass, Refused> {
        let pass = self.admit(token)?;
        match (&self.0, &pass.among) {
            (Some(guarded), Some(tokens)) if !tokens.is_named(&pass.digest, name) => {
                Err(guarded.refuse(Refused::Unknown))
            }
            _ => Ok(pass),
        }
    }

    /// The role that a pass has now; `None` if its token counts no more.
    #[must_use]
    pub fn role(&self, pass: &mut Pass) -> Option<Role> {
        let Some(guarded) = &self.0 else {
            return Some(pass.role);
        };
        let is_current = |tokens: &Arc<Tokens>| {
            let among = pass.among.as_ref();
            among.is_some_and(|among| Arc::ptr_eq(among, tokens))
        };
        if guarded.with(is_current) {
            return Some(pass.role);
        }
        let tokens = guarded.tokens();
        pass.role = tokens.find(&pass.digest)?;
        pass.among = Some(tokens);
        Some(pass.role)
    }

    /// Looks at the file from time to time, without end, and puts new tokens to use; ends at once if
    /// there is none.
    pub async fn watch(self) {
        if let Some(guarded) = self.0
            && let Present::File(file) = &guarded.present
        {
            Arc::clone(file).watch().await;
        }
    }

    /// What has become of requests and of the file; `None` while it is open.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        let guarded = self.0.as_ref()?;
        Some(Figures {
            tokens: guarded.with(|tokens| tokens.len()),
            missing: guarded.missing.load(Ordering::Relaxed),
            unknown: guarded.unknown.load(Ordering::Relaxed),
            role: guarded.role.load(Ordering::Relaxed),
            reloads: match &guarded.present {
                Present::Fixed(_) => Reloads::default(),
                Present::File(file) => file.reloads(),
            },
        })
    }
}

impl Guarded {
    /// The tokens that count now, for a moment: cheaper than [`Guarded::tokens`].
    fn with<T>(&self, ask: impl FnOnce(&Arc<Tokens>) -> T) -> T {
        match &self.present {
            Present::Fixed(tokens) => ask(tokens),
            Present::File(file) => ask(&file.present()),
        }
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.with(Arc::clone)
    }

    fn judge(&self, role: Result<Role, Refused>, need: Need) -> Result<Role, Refused> {
        match (role, need.role()) {
            (Ok(role), None) => Ok(role),
            (Err(_), None) => Ok(Role::Read),
            (Ok(role), Some(needed)) if role < needed => {
                Err(self.refuse(Refused::Role { role, needed }))
            }
            (Ok(role), Some(_)) => Ok(role),
            (Err(refused), Some(_)) => Err(self.refuse(refused)),
        }
    }

    fn refuse(&self, refused: Refused) -> Refused {
        let counter = match refused {
            Refused::Missing => &self.missing,
            Refused::Unknown => &self.unknown,
            Refused::Role { .. } => &self.role,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        refused
    }
}

#[cfg(test)]
mod tests;
