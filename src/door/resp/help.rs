//! `HELP` of the commands that have subcommands, made from the table.

use super::call::{Answered, Call, Flow};
use super::request::Arguments;
use super::table::TABLE;

/// Lists the subcommands, in the form in which Redis does.
pub(super) fn answer(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let table = &*TABLE;
    let Some(command) = table.find(&arguments[0]) else {
        return super::call::unknown_subcommand(call, arguments);
    };
    let name = command.name.to_ascii_uppercase();
    let mut lines = vec![format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    )];
    for sub in table.subcommands(command) {
        lines.push(sub.spec.name.to_ascii_uppercase());
        lines.push(format!("    {}", sub.spec.summary));
    }
    call.out.array(lines.len());
    for line in &lines {
        call.out.simple(line);
    }
    Ok(Flow::Done)
}
