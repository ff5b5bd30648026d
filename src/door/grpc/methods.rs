//! The methods of all services: what each needs, and how long it lasts.
//!
//! The table here is the one place that says so: the door admits by it and the counters are labelled
//! by it. A test holds it against the descriptors.

use crate::access::Need;

/// How a method is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// What it takes to call it. What needs nothing needs no node that has joined, either.
    pub(super) needs: Need,
    /// The client may send any number of messages.
    pub(super) requests_last: bool,
    /// The call may last for as long as its client likes.
    pub(super) lasts: bool,
}

/// A method.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// As requests name it.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
}

const fn method(path: &'static str, kind: Kind) -> Method {
    Method { path, kind }
}

const fn once(needs: Need) -> Kind {
    Kind {
        needs,
        requests_last: false,
        lasts: false,
    }
}

const fn lasting(needs: Need, requests_last: bool) -> Kind {
    Kind {
        needs,
        requests_last,
        lasts: true,
    }
}

const ASK: Kind = once(Need::Nothing);
const READ: Kind = once(Need::Read);
const WRITE: Kind = once(Need::Write);

/// All of them, in the order of their paths.
pub(super) static METHODS: [Method; 72] = [
    method("/grpc.health.v1.Health/Check", ASK),
    method(
        "/grpc.health.v1.Health/Watch",
        lasting(Need::Nothing, false),
    ),
    method(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        lasting(Need::Nothing, true),
    ),
    method(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        lasting(Need::Nothing, true),
    ),
    method("/smache.v1.Cache/Delete", WRITE),
    method("/smache.v1.Cache/Get", READ),
    method("/smache.v1.Cache/Set", WRITE),
    // What a command needs is judged by itself.
    method("/smache.v1.Commands/Run", READ),
    method("/smache.v1.Commands/Stream", lasting(Need::Read, true)),
    method("/smache.v1.Counter/Delete", WRITE),
    method("/smache.v1.Counter/Get", READ),
    method("/smache.v1.Counter/GetFloat", READ),
    method("/smache.v1.Counter/Increment", WRITE),
    method("/smache.v1.Counter/IncrementFloat", WRITE),
    method("/smache.v1.Counter/Set", WRITE),
    method("/smache.v1.Flag/Delete", WRITE),
    method("/smache.v1.Flag/Get", READ),
    method("/smache.v1.Flag/Set", WRITE),
    method("/smache.v1.Hash/Contains", READ),
    method("/smache.v1.Hash/Delete", WRITE),
    method("/smache.v1.Hash/Fields", READ),
    method("/smache.v1.Hash/Get", READ),
    method("/smache.v1.Hash/GetAll", READ),
    method("/smache.v1.Hash/GetMany", READ),
    method("/smache.v1.Hash/Increment", WRITE),
    method("/smache.v1.Hash/IncrementFloat", WRITE),
    method("/smache.v1.Hash/Length", READ),
    method("/smache.v1.Hash/Remove", WRITE),
    method("/smache.v1.Hash/Sample", READ),
    method("/smache.v1.Hash/Scan", READ),
    method("/smache.v1.Hash/Set", WRITE),
    method("/smache.v1.Hash/SetNew", WRITE),
    method("/smache.v1.Hash/Values", READ),
    method("/smache.v1.Json/AppendAt", WRITE),
    method("/smache.v1.Json/Delete", WRITE),
    method("/smache.v1.Json/DeleteAt", WRITE),
    method("/smache.v1.Json/Get", READ),
    method("/smache.v1.Json/IncrementAt", WRITE),
    method("/smache.v1.Json/LengthsAt", READ),
    method("/smache.v1.Json/Merge", WRITE),
    method("/smache.v1.Json/MergeAt", WRITE),
    method("/smache.v1.Json/NamesAt", READ),
    method("/smache.v1.Json/Put", WRITE),
    method("/smache.v1.Json/Query", READ),
    method("/smache.v1.Json/SetAt", WRITE),
    method("/smache.v1.Json/TypesAt", READ),
    method("/smache.v1.Kv/Delete", WRITE),
    method("/smache.v1.Kv/Get", READ),
    method("/smache.v1.Kv/Put", WRITE),
    method("/smache.v1.List/Delete", WRITE),
    method("/smache.v1.List/Index", READ),
    method("/smache.v1.List/Insert", WRITE),
    method("/smache.v1.List/Length", READ),
    method("/smache.v1.List/Pop", WRITE),
    method("/smache.v1.List/Position", READ),
    method("/smache.v1.List/Push", WRITE),
    method("/smache.v1.List/Range", READ),
    method("/smache.v1.List/Remove", WRITE),
    method("/smache.v1.List/Replace", WRITE),
    method("/smache.v1.List/Rotate", WRITE),
    method("/smache.v1.List/Set", WRITE),
    method("/smache.v1.List/Trim", WRITE),
    method("/smache.v1.Set/Add", WRITE),
    method("/smache.v1.Set/Contains", READ),
    method("/smache.v1.Set/Delete", WRITE),
    method("/smache.v1.Set/Get", READ),
    method("/smache.v1.Set/Length", READ),
    method("/smache.v1.Set/Pop", WRITE),
    method("/smache.v1.Set/Remove", WRITE),
    method("/smache.v1.Set/Sample", READ),
    method("/smache.v1.Set/Scan", READ),
    method("/smache.v1.Watch/Watch", lasting(Need::Read, false)),
];

/// What nobody knows; tonic answers that it is not implemented.
static UNKNOWN: Method = method("unknown", ASK);

/// The method of a path.
pub(super) fn find(path: &str) -> &'static Method {
    METHODS
        .binary_search_by(|method| method.path.cmp(path))
        .map_or(&UNKNOWN, |at| &METHODS[at])
}

/// The names of all services, some more than once.
pub(super) fn services() -> impl Iterator<Item = &'static str> {
    let service = |method: &'static Method| method.path[1..].split_once('/');
    METHODS
        .iter()
        .filter_map(service)
        .map(|(service, _)| service)
}

/// The place of a method among [`METHODS`], or behind them.
pub(super) fn place(of: &Method) -> usize {
    let at = METHODS.binary_search_by(|method| method.path.cmp(of.path));
    at.unwrap_or(METHODS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::grpc::v1;
    use prost::Message as _;
    use tonic_reflection::pb::{v1 as reflection, v1alpha};

    /// Paths of all methods, with whether they stream requests and answers.
    fn described() -> Vec<(String, bool, bool)> {
        let mut all = Vec::new();
        for set in [
            v1::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            reflection::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = prost_types::FileDescriptorSet::decode(set).unwrap();
            for file in set.file {
                for service in &file.service {
                    for method in &service.method {
                        let path =
                            format!("/{}.{}/{}", file.package(), service.name(), method.name());
                        all.push((path, method.client_streaming(), method.server_streaming()));
                    }
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    fn the_table_has_every_method_and_no_other() {
        let listed: Vec<_> = METHODS
            .iter()
            .map(|method| {
                let Kind {
                    requests_last,
                    lasts,
                    ..
                } = method.kind;
                (method.path.to_owned(), requests_last, lasts)
            })
            .collect();
        assert_eq!(listed, described());
    }

    #[test]
    fn every_method_is_found() {
        for (at, method) in METHODS.iter().enumerate() {
            assert_eq!(find(method.path), method);
            assert_eq!(place(method), at);
        }
        assert_eq!(find("/smache.v1.Cache/Nothing").kind, ASK);
        assert_eq!(place(find("/")), METHODS.len());
    }

    #[test]
    fn only_what_reads_needs_no_more() {
        let reads = [
            "Contains",
            "Fields",
            "Get",
            "GetAll",
            "GetFloat",
            "GetMany",
            "Index",
            "Length",
            "LengthsAt",
            "NamesAt",
            "Position",
            "Query",
            "Range",
            "Run",
            "Sample",
            "Scan",
            "Stream",
            "TypesAt",
            "Values",
            "Watch",
        ];
        for method in &METHODS {
            let name = method.path.rsplit('/').next().unwrap();
            let is_ours = method.path.starts_with("/smache.");
            let needs = match (is_ours, reads.contains(&name)) {
                (false, _) => Need::Nothing,
                (true, true) => Need::Read,
                (true, false) => Need::Write,
            };
            assert_eq!(method.kind.needs, needs, "{}", method.path);
        }
    }

    #[test]
    fn services_are_named() {
        assert!(services().any(|name| name == "smache.v1.List"));
        assert!(services().any(|name| name == "grpc.health.v1.Health"));
    }
}
