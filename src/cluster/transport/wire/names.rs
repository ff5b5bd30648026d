//! What a node calls itself in the handshake: its name and its boot epoch.

use super::super::Identity;

/// Separates the name from the boot epoch in the handshake.
const EPOCH_MARK: char = '#';

/// `name@host#epoch`: unique for each start of a node.
pub(super) fn wire_name(identity: &Identity) -> String {
    format!("{}{EPOCH_MARK}{:x}", identity.name, identity.boot_epoch)
}

pub(super) fn parse_wire_name(text: &str) -> Option<Identity> {
    let (name, epoch) = text.rsplit_once(EPOCH_MARK)?;
    Some(Identity::new(name, u64::from_str_radix(epoch, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_name_carries_the_identity() {
        let identity = Identity::new("smache@localhost", 0x1234_abcd);
        assert_eq!(wire_name(&identity), "smache@localhost#1234abcd");
        assert_eq!(parse_wire_name(&wire_name(&identity)), Some(identity));
        assert_eq!(parse_wire_name("someone@else"), None);
    }
}
