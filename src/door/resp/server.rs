//! What is asked of the server as a whole: the time, and how many copies there are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Answered, Call, Flow};
use super::failure::Refusal;
use super::help;
use super::number;
use super::pause::Blocked;
use super::queue::{Later, Touches};
use super::reply::Out;
use super::request::Arguments;
use super::table::{Flags, Spec};
use crate::config::policy::Acknowledge;
use crate::router::{MemberState, Router};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::container("function", FUNCTION).about(
        "7.0.0",
        "Depends on subcommand.",
        "A container for commands about functions, of which this server has none.",
    ),
    Spec::new("time", 1, time)
        .fast()
        .free()
        .about("2.6.0", "O(1)", "Returns the server's time."),
    Spec::new("wait", 3, wait).flags(Flags::BLOCKING).about(
        "3.0.0",
        "O(1)",
        "Waits until what this connection wrote is with so many other nodes.",
    ),
];

/// What programs ask that clear a server, or look what is on it: there are no functions.
const FUNCTION: &[Spec] = &[
    Spec::new("flush", -2, function_flush)
        .write()
        .about("7.0.0", "O(1)", "Removes all functions."),
    Spec::new("help", 2, help::answer).free().about(
        "7.0.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("list", -2, function_list).about("7.0.0", "O(1)", "Lists the functions."),
];

fn function_flush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    match arguments.get(2) {
        None => {}
        Some(how) if how.eq_ignore_ascii_case(b"sync") || how.eq_ignore_ascii_case(b"async") => {}
        Some(_) => {
            return Err(Refusal::of(
                "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
            ));
        }
    }
    call.out.ok();
    Ok(Flow::Done)
}

fn function_list(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.out.array(0);
    Ok(Flow::Done)
}

fn time(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    let ms = call.shared.context.clock.now().0;
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    call.out.array(2);
    call.out.bulk_integer(signed(ms / 1_000));
    call.out.bulk_integer(signed(ms % 1_000 * 1_000));
    Ok(Flow::Done)
}

/// About how many keys the cluster has, and how many of them expire: this node's as they are, the
/// others' by their last word.
pub(super) fn keys(router: &Router) -> (u64, u64) {
    let map = router.map();
    let others = map
        .members()
        .into_iter()
        .filter(|member| member.id != router.node() && !matches!(member.state, MemberState::Down));
    let own = (router.owned_entries(), router.owned_expiring());
    others.fold(own, |(keys, expiring), member| {
        let load = &member.load;
        (keys + load.keys, expiring + load.expiring)
    })
}

/// How many other nodes have what was written here and answered: as many copies as are asked for,
/// or as there are nodes for.
fn copies(call: &Call<'_>) -> impl Fn() -> usize + Send + use<> {
    let context = &call.shared.context;
    let backups = match context.config.acknowledge {
        Acknowledge::Backup => usize::from(context.config.backups),
        // Writes are answered before their copies have them.
        Acknowledge::Owner => 0,
    };
    let router = context.router.clone();
    move || backups.min(router.map().alive().saturating_sub(1))
}

fn wait(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    /// How often it is looked whether there are enough nodes by now.
    const EVERY: Duration = Duration::from_millis(50);
    let wanted = number::integer(&arguments[1]).ok_or(Refusal::NOT_INTEGER)?;
    let timeout = number::integer(&arguments[2]).ok_or(Refusal::TIMEOUT_NOT_INTEGER)?;
    let timeout = u64::try_from(timeout).map_err(|_| Refusal::TIMEOUT_NEGATIVE)?;
    let wanted = usize::try_from(wanted).unwrap_or_default();
    // All writes before this one are answered: a command like this waits for them.
    let copies = copies(&call);
    if copies() >= wanted {
        call.out.length(copies());
        return Ok(Flow::Done);
    }
    let protocol = call.out.protocol();
    let clients = Arc::clone(&call.shared.clients);
    // Zero is for ever, which ends with the connection, or with the node.
    let until = (timeout > 0).then(|| Instant::now() + Duration::from_millis(timeout));
    let blocked = Blocked::new(call.shared);
    let reply = async move {
        let _blocked = blocked;
        while copies() < wanted
            && until.is_none_or(|until| Instant::now() < until)
            && !clients.is_stopping()
        {
            let next = Instant::now() + EVERY;
            tokio::time::sleep_until(until.map_or(next, |until| next.min(until))).await;
        }
        let mut out = Out::new(protocol);
        out.length(copies());
        out
    };
    Ok(Flow::Later(Later::new(Touches::All, reply)))
}
