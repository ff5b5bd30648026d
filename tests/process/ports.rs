//! Ports that are taken, and the commands that ask a node.

use std::net::TcpListener;

use crate::process::{Start, run};

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_stops_the_start() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().port();
    for flag in ["port", "cluster-port"] {
        let ran = Start::node("one@localhost").flag(flag, taken).run().await;
        assert_eq!(ran.code, Some(1), "{flag}: {}", ran.err);
        assert_eq!(ran.out, "", "nothing is announced");
        assert!(ran.err.contains(&format!(":{taken} ")), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_default_port_that_is_taken_gives_way_to_the_next_free_one() {
    // Another program may hold it already, which is as good.
    let _held = TcpListener::bind("127.0.0.1:4000");
    let start = Start::default()
        .arg("serve")
        .flag("node-name", "one@localhost");
    let one = start.ready().await;
    assert!(
        (4001..4100).contains(&one.http.port()),
        "announced: {}",
        one.http
    );
    assert_eq!(one.get("/healthcheck").await.body, "{}");
    let said = format!("port 4000 for HTTP is taken; {}", one.http.port());
    assert!(one.log().contains(&said), "{}", one.log());
}

#[tokio::test]
async fn status_tells_health_checks_whether_a_node_is_ready() {
    let one = Start::node("one@localhost").ready().await;
    let port = one.http.port().to_string();
    let quiet = Start::default().arg("status").arg("--quiet");
    let service = "tcp://10.0.0.1:4000";
    for start in [
        quiet.clone().arg("--node").arg(one.url()),
        quiet.clone().variable("SMACHE_URL", &one.url()),
        quiet.clone().variable("SMACHE_PORT", &port),
        quiet
            .clone()
            .variable("SMACHE_PORT", service)
            .variable("PORT", &port),
    ] {
        let ran = start.run().await;
        assert_eq!(ran.code, Some(0), "{start:?}: {}", ran.err);
        assert_eq!((&ran.out[..], &ran.err[..]), ("", ""), "{start:?}");
    }
    let shown = run(&["status", "--node", &one.url()]).await.out;
    let address = format!(" :{} ", one.cluster.port());
    assert!(shown.contains(&address), "{shown}");
    assert!(!shown.contains("connections"), "{shown}");

    let two = Start::node("two@localhost").uplink(([127, 0, 0, 1], 1).into());
    let two = two.listening();
    let ran = run(&["status", "--quiet", "--node", &two.url()]).await;
    assert_eq!((ran.code, &ran.out[..]), (Some(1), ""));
    assert!(ran.err.contains("joining"), "{}", ran.err);

    let url = one.url();
    one.stop().await;
    let ran = run(&["status", "--quiet", "--node", &url]).await;
    assert_eq!((ran.code, &ran.out[..]), (Some(1), ""));
    assert!(ran.err.contains("no node answers"), "{}", ran.err);
}
