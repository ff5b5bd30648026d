//! `CLIENT`: the connections of this node's door, this one and the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::call::{Answered, Call, Flow};
use super::clients::Client;
use super::failure::Refusal;
use super::help;
use super::number;
use super::pause::Waits;
use super::request::Arguments;
use super::session::{Replies, check_name};
use super::table::{Flags, Spec};

pub(super) const COMMANDS: &[Spec] = &[Spec::container("client", SUBCOMMANDS).about(
    "2.4.0",
    "Depends on subcommand.",
    "A container for commands about connections.",
)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("getname", 2, getname).flags(Flags::EARLY).about(
        "2.6.9",
        "O(1)",
        "Returns the name of the connection.",
    ),
    Spec::new("help", 2, help::answer).free().about(
        "5.0.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("id", 2, id).flags(Flags::EARLY).about(
        "5.0.0",
        "O(1)",
        "Returns the id of the connection.",
    ),
    Spec::new("info", 2, info).flags(Flags::EARLY).about(
        "6.2.0",
        "O(1)",
        "Returns a line about the connection.",
    ),
    Spec::new("kill", -3, kill)
        .admin()
        .flags(Flags::EARLY)
        .about("2.4.0", "O(N) in connections", "Closes connections."),
    Spec::new("list", -2, list)
        .admin()
        .flags(Flags::EARLY)
        .about(
            "2.4.0",
            "O(N) in connections",
            "Lists the open connections.",
        ),
    Spec::new("no-evict", 3, no_evict)
        .admin()
        .flags(Flags::EARLY)
        .about(
            "7.0.0",
            "O(1)",
            "Sets whether the connection may be closed to free memory.",
        ),
    Spec::new("no-touch", 3, no_touch)
        .flags(Flags::EARLY)
        .about(
            "7.2.0",
            "O(1)",
            "Sets whether reads of the connection are to count for eviction.",
        ),
    Spec::new("pause", -3, pause)
        .admin()
        .flags(Flags::EARLY)
        .about(
            "3.0.0",
            "O(1)",
            "Lets the commands of all connections wait for a while.",
        ),
    Spec::new("reply", 3, reply).flags(Flags::EARLY).about(
        "3.2.0",
        "O(1)",
        "Sets whether commands are replied to.",
    ),
    Spec::new("setinfo", 4, setinfo).flags(Flags::EARLY).about(
        "7.2.0",
        "O(1)",
        "Names the library that the client uses, or its version.",
    ),
    Spec::new("setname", 3, setname).flags(Flags::EARLY).about(
        "2.6.9",
        "O(1)",
        "Names the connection.",
    ),
    Spec::new("unpause", 2, unpause)
        .admin()
        .flags(Flags::EARLY)
        .about("6.2.0", "O(1)", "Ends a pause."),
];

fn ok(call: Call<'_>) -> Answered {
    call.out.ok();
    Ok(Flow::Done)
}

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

fn on_or_off(argument: &[u8]) -> Result<bool, Refusal> {
    match () {
        () if is(argument, "on") => Ok(true),
        () if is(argument, "off") => Ok(false),
        () => Err(Refusal::SYNTAX),
    }
}

fn id(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.out
        .integer(i64::try_from(call.session.client.id).unwrap_or(i64::MAX));
    Ok(Flow::Done)
}

fn getname(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    let name = call.session.client.about().name;
    let name = Some(name.as_bytes()).filter(|name| !name.is_empty());
    call.out.bulk_or_null(name);
    Ok(Flow::Done)
}

fn setname(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let name = check_name(&arguments[2], "Client names")?;
    call.session.client.change(|about| about.name = name);
    ok(call)
}

fn setinfo(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (field, value) = (&arguments[2], &arguments[3]);
    if is(field, "lib-name") {
        let value = check_name(value, "lib-name")?;
        call.session.client.change(|about| about.library = value);
    } else if is(field, "lib-ver") {
        let value = check_name(value, "lib-ver")?;
        call.session
            .client
            .change(|about| about.library_version = value);
    } else {
        let mut text = b"ERR Unrecognized option '".to_vec();
        text.extend_from_slice(field);
        text.push(b'\'');
        return Err(Refusal::bytes(text));
    }
    ok(call)
}

/// The connection is asking for this: it need not be counted before it can be told.
fn note(call: &Call<'_>) {
    let client = &call.session.client;
    client.entry.store(call.entry.index, Ordering::Relaxed);
}

fn info(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    note(&call);
    let mut text = String::new();
    let now = call.shared.context.clock.now();
    call.session.client.describe(now, &mut text);
    call.out.verbatim("txt", &text);
    Ok(Flow::Done)
}

/// The kinds of connections that Redis tells apart. All of ours are normal ones, or listen.
fn is_kind(client: &Client, kind: &[u8]) -> Result<bool, Refusal> {
    if is(kind, "normal") {
        Ok(!client.listens())
    } else if is(kind, "pubsub") {
        Ok(client.listens())
    } else if is(kind, "master") || is(kind, "replica") || is(kind, "slave") {
        Ok(false)
    } else {
        let mut text = b"ERR Unknown client type '".to_vec();
        text.extend_from_slice(kind);
        text.push(b'\'');
        Err(Refusal::bytes(text))
    }
}

fn list(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let mut clients = call.shared.clients.open();
    match arguments.get(2) {
        None => {}
        Some(option) if is(option, "type") && arguments.len() == 4 => {
            let kind = &arguments[3];
            is_kind(&call.session.client, kind)?;
            clients.retain(|client| is_kind(client, kind).unwrap_or_default());
        }
        Some(option) if is(option, "id") && arguments.len() > 3 => {
            let ids = arguments.from(3).map(|id| {
                let id = number::integer(id).filter(|id| *id > 0);
                id.map(i64::unsigned_abs)
                    .ok_or(Refusal::of("ERR Invalid client ID"))
            });
            let ids: Vec<u64> = ids.collect::<Result<_, _>>()?;
            clients.retain(|client| ids.contains(&client.id));
        }
        Some(_) => return Err(Refusal::SYNTAX),
    }
    note(&call);
    let now = call.shared.context.clock.now();
    let mut text = String::new();
    for client in clients {
        client.describe(now, &mut text);
    }
    call.out.verbatim("txt", &text);
    Ok(Flow::Done)
}

fn kill(mut call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let clients = call.shared.clients.open();
    if arguments.len() == 3 {
        let address = &arguments[2];
        let found = clients
            .iter()
            .find(|client| client.address.to_string().as_bytes() == address);
        let found = found.ok_or(Refusal::of("ERR No such client"))?;
        end(&mut call, found);
        return ok(call);
    }
    let filter = Filter::read(&call, &arguments)?;
    let chosen: Vec<&Arc<Client>> = clients
        .iter()
        .filter(|client| filter.matches(client, call.session.client.id))
        .collect();
    for client in &chosen {
        end(&mut call, client);
    }
    call.out.length(chosen.len());
    Ok(Flow::Done)
}

/// Ends a connection; this one after its reply.
fn end(call: &mut Call<'_>, client: &Client) {
    if client.id == call.session.client.id {
        call.session.closing = true;
    } else {
        client.end();
    }
}

/// Which connections `CLIENT KILL` is about.
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    address: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn read(call: &Call<'_>, arguments: &'a Arguments<'_>) -> Result<Filter<'a>, Refusal> {
        let mut filter = Filter {
            id: None,
            kind: None,
            user: None,
            address: None,
            local: None,
            skip_me: true,
        };
        for at in (2..arguments.len()).step_by(2) {
            let (option, Some(value)) = (&arguments[at], arguments.get(at + 1)) else {
                return Err(Refusal::SYNTAX);
            };
            if is(option, "id") {
                let id = number::integer(value).filter(|id| *id > 0);
                let wrong = Refusal::of("ERR client-id should be greater than 0");
                filter.id = Some(id.ok_or(wrong)?.unsigned_abs());
            } else if is(option, "type") {
                is_kind(&call.session.client, value)?;
                filter.kind = Some(value);
            } else if is(option, "user") {
                filter.user = Some(value);
            } else if is(option, "addr") {
                filter.address = Some(value);
            } else if is(option, "laddr") {
                filter.local = Some(value);
            } else if is(option, "skipme") && (is(value, "yes") || is(value, "no")) {
                filter.skip_me = is(value, "yes");
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client, me: u64) -> bool {
        let named = |address: std::net::SocketAddr, wanted: Option<&[u8]>| {
            wanted.is_none_or(|wanted| address.to_string().as_bytes() == wanted)
        };
        let is_kind = |kind| is_kind(client, kind).unwrap_or_default();
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(is_kind)
            && self.user.is_none_or(|user| user == b"default")
            && named(client.address, self.address)
            && named(client.local, self.local)
            && !(self.skip_me && client.id == me)
    }
}

fn no_evict(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let on = on_or_off(&arguments[2])?;
    call.session.client.change(|about| about.no_evict = on);
    ok(call)
}

fn no_touch(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let on = on_or_off(&arguments[2])?;
    call.session.client.change(|about| about.no_touch = on);
    ok(call)
}

fn reply(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let mode = &arguments[2];
    if is(mode, "on") {
        call.session.replies = Replies::On;
        return ok(call);
    }
    if is(mode, "off") {
        call.session.replies = Replies::Off;
    } else if is(mode, "skip") {
        if call.session.replies == Replies::On {
            call.session.replies = Replies::SkipNext;
        }
    } else {
        return Err(Refusal::SYNTAX);
    }
    Ok(Flow::Done)
}

fn pause(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let waits = match arguments.get(3) {
        None => Waits::All,
        Some(mode) if is(mode, "all") => Waits::All,
        Some(mode) if is(mode, "write") => Waits::Writes,
        Some(_) => return Err(Refusal::of("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    if arguments.len() > 4 {
        return Err(Refusal::SYNTAX);
    }
    let ms = number::integer(&arguments[2]).ok_or(Refusal::TIMEOUT_NOT_INTEGER)?;
    let ms = u64::try_from(ms).map_err(|_| Refusal::TIMEOUT_NEGATIVE)?;
    call.shared.pause.begin(Duration::from_millis(ms), waits);
    ok(call)
}

fn unpause(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.shared.pause.end();
    ok(call)
}
