//! What a connection remembers of its client, and the commands that set it: who it is, which
//! protocol it speaks, whether it wants replies.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::call::{Answered, Call, Flow};
use super::clients::{About, Client};
use super::failure::Refusal;
use super::number;
use super::pubsub::Listening;
use super::reply::{Out, Protocol};
use super::request::Arguments;
use super::table::{Entry, Flags, Spec};
use super::transaction;
use crate::access::{Access, Pass, Role};

/// The version of Redis whose commands are spoken, as clients ask for it.
pub(super) const REDIS_VERSION: &str = "7.2.0";

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("auth", -2, auth)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::EARLY)
        .about("1.0.0", "O(1)", "Shows the token of the client."),
    Spec::new("echo", 2, echo)
        .fast()
        .free()
        .about("1.0.0", "O(1)", "Returns the given string."),
    Spec::new("hello", -1, hello)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::EARLY)
        .about(
            "6.0.0",
            "O(1)",
            "Agrees on a protocol, and tells of the server.",
        ),
    Spec::new("ping", -1, ping)
        .fast()
        .free()
        .flags(Flags::WHILE_LISTENING)
        .about("1.0.0", "O(1)", "Returns PONG, or the given string."),
    Spec::new("quit", -1, quit)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::WHILE_LISTENING)
        .flags(Flags::EARLY)
        .about("1.0.0", "O(1)", "Closes the connection."),
    Spec::new("reset", 1, reset)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::WHILE_LISTENING)
        .flags(Flags::EARLY)
        .about(
            "6.2.0",
            "O(1)",
            "Makes the connection as it was when it began.",
        ),
    Spec::new("select", 2, select)
        .fast()
        .flags(Flags::EARLY)
        .about(
            "1.0.0",
            "O(1)",
            "Selects the one database that there is, 0.",
        ),
];

/// Whether a client wants to hear of its commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// Not of the next one.
    SkipNext,
    /// Not of this one.
    Skip,
}

impl Replies {
    /// Whether the client wants no reply to the present command.
    pub(super) fn are_silent(self) -> bool {
        matches!(self, Replies::Off | Replies::Skip)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    pub(super) protocol: Protocol,
    pub(super) replies: Replies,
    /// Whether the connection ends when its replies are written.
    pub(super) closing: bool,
    /// What it listens to, if to anything.
    pub(super) listening: Option<Box<Listening>>,
    /// How many listeners of this node it has told something since they had a turn.
    pub(super) published: usize,
    /// The present reply is written although the client wants none.
    pub(super) aloud: bool,
    /// Whether it is between `MULTI` and `EXEC`.
    pub(super) in_transaction: bool,
    /// The token that the client has shown.
    pass: Option<Pass>,
}

impl Session {
    pub(super) fn new(client: Arc<Client>) -> Session {
        Session {
            client,
            protocol: Protocol::Resp2,
            replies: Replies::On,
            closing: false,
            listening: None,
            published: 0,
            aloud: false,
            in_transaction: false,
            pass: None,
        }
    }

    /// Whether the client has yet to say who it is before it may ask for anything.
    pub(super) fn is_stranger(&mut self, shared: &Shared) -> bool {
        let access = &shared.context.access;
        !access.is_open() && self.role(access).is_none()
    }

    /// The role of the token that was shown, if it counts still.
    fn role(&mut self, access: &Access) -> Option<Role> {
        self.pass.as_mut().and_then(|pass| access.role(pass))
    }

    /// Whether the client may ask for this, and the node answers it yet.
    #[inline]
    pub(super) fn admit(&mut self, shared: &Shared, entry: &Entry) -> Result<(), Refusal> {
        let access = &shared.context.access;
        if !access.is_open() && !entry.spec.flags.has(Flags::NO_AUTH) {
            let role = self.role(access).ok_or(Refusal::NO_AUTH)?;
            access.check_role(role, entry.spec.need()).map_err(|_| {
                let name = &entry.name;
                Refusal::text(format!(
                    "NOPERM this token may not run the '{name}' command"
                ))
            })?;
        }
        if let Some(_listening) = &self.listening {
            self.check_listening(entry)?;
        }
        if self.in_transaction {
            transaction::check(entry)?;
        }
        let early = entry.spec.flags.has(Flags::EARLY);
        if !early && !shared.context.readiness.serves() {
            return Err(Refusal::NOT_READY);
        }
        Ok(())
    }

    /// What it is told now it has asked to be told, also without replies.
    pub(super) fn speak_up(&mut self) {
        self.aloud = self.replies.are_silent();
    }

    fn speak(&mut self, protocol: Protocol, out: &mut Out) {
        self.protocol = protocol;
        out.set_protocol(protocol);
        let number = protocol.number().unsigned_abs();
        self.client.protocol.store(number, Ordering::Relaxed);
    }

    /// The client shows a token, and maybe a name with it.
    fn authenticate(
        &mut self,
        shared: &Shared,
        name: Option<&[u8]>,
        token: &[u8],
    ) -> Result<(), Refusal> {
        let access = &shared.context.access;
        if !access.is_open() {
            // The one name that clients send who know of none.
            let shown = match name {
                None | Some(b"default") => access.admit(token),
                Some(name) => access.admit_named(name, token),
            };
            self.pass = Some(shown.map_err(|_| Refusal::WRONG_PASSWORD)?);
            return Ok(());
        }
        match name {
            // Whoever always sends a name and a password gets on with a server that asks for none.
            Some(b"default") => Ok(()),
            Some(_) => Err(Refusal::WRONG_PASSWORD),
            None => Err(Refusal::of(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            )),
        }
    }
}

/// The longest name of a connection, or of a library: all of them may be listed.
const NAME_BYTES_MAX: usize = 1_024;

/// A name that can be shown in one field of a line.
pub(super) fn check_name(name: &[u8], what: &str) -> Result<String, Refusal> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::text(format!(
            "ERR {what} cannot be longer than {NAME_BYTES_MAX} bytes."
        )));
    }
    let plain = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    match std::str::from_utf8(name) {
        Ok(text) if plain => Ok(text.to_owned()),
        _ => Err(Refusal::text(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        ))),
    }
}

fn auth(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    match arguments.len() {
        2 => call
            .session
            .authenticate(call.shared, None, &arguments[1])?,
        3 => call
            .session
            .authenticate(call.shared, Some(&arguments[1]), &arguments[2])?,
        _ => return Err(Refusal::SYNTAX),
    }
    call.out.ok();
    Ok(Flow::Done)
}

fn echo(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    call.out.bulk(&arguments[1]);
    Ok(Flow::Done)
}

fn ping(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let listens = call.session.listening.is_some() && call.session.protocol == Protocol::Resp2;
    match arguments.len() {
        count @ (1 | 2) if listens => {
            call.out.array(2);
            call.out.text("pong");
            call.out.bulk(if count == 1 { b"" } else { &arguments[1] });
        }
        1 => call.out.simple("PONG"),
        2 => call.out.bulk(&arguments[1]),
        _ => {
            return Err(Refusal::arity("ping"));
        }
    }
    Ok(Flow::Done)
}

fn quit(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.session.stop_listening(call.out);
    call.session.closing = true;
    call.out.ok();
    Ok(Flow::Done)
}

fn select(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    match number::integer(&arguments[1]) {
        None => Err(Refusal::NOT_INTEGER),
        Some(0) => {
            call.out.ok();
            Ok(Flow::Done)
        }
        Some(_) => Err(Refusal::of("ERR DB index is out of range")),
    }
}

fn reset(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.session.stop_listening(call.out);
    call.session.replies = Replies::On;
    call.session.client.change(|about| {
        *about = About {
            library: std::mem::take(&mut about.library),
            library_version: std::mem::take(&mut about.library_version),
            ..About::default()
        };
    });
    call.session.in_transaction = false;
    call.session.pass = None;
    call.session.speak(Protocol::Resp2, call.out);
    call.out.simple("RESET");
    Ok(Flow::Done)
}

/// What `HELLO` asks for.
#[derive(Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    user: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn greeting<'a>(arguments: &'a Arguments<'_>) -> Result<Greeting<'a>, Refusal> {
    let mut greeting = Greeting::default();
    let Some(version) = arguments.get(1) else {
        return Ok(greeting);
    };
    greeting.protocol = match number::integer(version) {
        Some(2) => Some(Protocol::Resp2),
        Some(3) => Some(Protocol::Resp3),
        Some(_) => return Err(Refusal::of("NOPROTO unsupported protocol version")),
        None => {
            return Err(Refusal::of(
                "ERR Protocol version is not an integer or out of range",
            ));
        }
    };
    let mut at = 2;
    while let Some(option) = arguments.get(at) {
        let left = arguments.len() - at - 1;
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            greeting.user = Some((&arguments[at + 1], &arguments[at + 2]));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            greeting.name = Some(&arguments[at + 1]);
            at += 2;
        } else {
            let mut text = b"ERR Syntax error in HELLO option '".to_vec();
            text.extend_from_slice(option);
            text.push(b'\'');
            return Err(Refusal::bytes(text));
        }
    }
    Ok(greeting)
}

fn hello(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let greeting = greeting(&arguments)?;
    if let Some((name, token)) = greeting.user {
        call.session.authenticate(call.shared, Some(name), token)?;
    }
    if call.session.is_stranger(call.shared) {
        return Err(Refusal::of(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
             RESP protocol version at the same time",
        ));
    }
    if let Some(name) = greeting.name {
        let name = check_name(name, "Client names")?;
        call.session.client.change(|about| about.name = name);
    }
    if let Some(protocol) = greeting.protocol {
        call.session.speak(protocol, call.out);
    }
    let protocol = call.session.protocol.number();
    let id = i64::try_from(call.session.client.id).unwrap_or(i64::MAX);
    let out = call.out;
    out.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        out.text(name);
        out.text(value);
    }
    out.text("proto");
    out.integer(protocol);
    out.text("id");
    out.integer(id);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        out.text(name);
        out.text(value);
    }
    out.text("modules");
    out.array(0);
    Ok(Flow::Done)
}
