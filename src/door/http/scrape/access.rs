//! Tokens, and TLS at the doors; nothing where there are none.

use crate::access::Access;
use crate::door::tls::Tls;
use crate::metrics::Sheet;

pub(super) fn write(access: &Access, tls: Option<&Tls>, sheet: &mut Sheet) {
    tokens(access, sheet);
    if let Some(tls) = tls {
        handshakes(tls, sheet);
    }
}

fn tokens(access: &Access, sheet: &mut Sheet) {
    let Some(figures) = access.figures() else {
        return;
    };
    let reason = |name: &str| vec![("reason", name.to_owned())];
    sheet.gauge(
        "smache_tokens",
        "Tokens with which clients may ask this node",
        figures.tokens as f64,
    );
    sheet.counters(
        "smache_access_refused",
        "Requests refused at all doors because of who asked: no token was shown, there is no such \
         token, or its role is not enough",
        [
            (reason("missing"), figures.missing),
            (reason("unknown"), figures.unknown),
            (reason("role"), figures.role),
        ],
    );
    sheet.counter(
        "smache_token_reloads",
        "Times that a changed file of tokens was put to use",
        figures.reloads.done,
    );
    sheet.counter(
        "smache_token_reload_failures",
        "Times that a changed file of tokens was no good, and the tokens before stayed in use",
        figures.reloads.failed,
    );
}

fn handshakes(tls: &Tls, sheet: &mut Sheet) {
    let figures = tls.figures();
    let result = |name: &str| vec![("result", name.to_owned())];
    sheet.counters(
        "smache_door_handshakes",
        "TLS handshakes with clients at all doors: done, not TLS at all, too slow, and failed",
        [
            (result("done"), figures.done),
            (result("plaintext"), figures.plaintext),
            (result("slow"), figures.slow),
            (result("failed"), figures.failed),
        ],
    );
    sheet.counter(
        "smache_door_certificate_reloads",
        "Times that changed certificate files of the doors were put to use",
        figures.reloads.done,
    );
    sheet.counter(
        "smache_door_certificate_reload_failures",
        "Times that changed certificate files of the doors were no good, and the old ones stayed in \
         use",
        figures.reloads.failed,
    );
    if let Some(end) = figures.not_after_s {
        sheet.gauge(
            "smache_door_certificate_not_after_timestamp_seconds",
            "When the doors' certificate ends, in seconds since 1970",
            end as f64,
        );
    }
}
