//! The table of the services of the types: see `table`.

use crate::table::{Answer, Header, Step, ask, send};

fn is(request: &'static str, body: &'static str) -> Step {
    ask(request).gives(200, Answer::Is(body))
}

fn fails(request: &'static str, status: u16, code: &'static str) -> Step {
    ask(request).gives(status, Answer::Error(code))
}

/// A read that finds a value, which has the ETag that was seen last.
fn hits(request: &'static str, body: &'static str) -> Step {
    is(request, body)
        .with("x-cache", Header::Is("HIT"))
        .with("etag", Header::Is("ETAG"))
}

fn misses(request: &'static str, body: &'static str) -> Step {
    is(request, body)
        .with("x-cache", Header::Is("MISS"))
        .with("etag", Header::Absent)
}

/// A write that answers nothing.
fn stores(request: &'static str) -> Step {
    ask(request)
        .gives(204, Answer::Is(""))
        .with("etag", Header::Fresh)
}

pub(crate) fn cache() -> Vec<Step> {
    const VALUE: &str = r#"{"key":"CACHED","value":"a b","node":"OWNER"}"#;
    vec![
        fails("GET /cache/CACHED", 404, "not_found").with("x-cache", Header::Is("MISS")),
        stores("PUT /cache/CACHED?value=a+b").with("x-ttl-ms", Header::UpTo(5_000)),
        stores("PUT /cache/CACHED?value=a+b&ttl=60").with("x-ttl-ms", Header::UpTo(60_000)),
        hits("GET /cache/CACHED", VALUE).with("x-ttl-ms", Header::UpTo(60_000)),
        ask("GET /cache/CACHED")
            .header("accept", "application/octet-stream")
            .gives(200, Answer::Is("a b"))
            .with("content-type", Header::Is("application/octet-stream"))
            .with("etag", Header::Is("ETAG")),
        ask("GET /cache/CACHED")
            .header("if-none-match", "ETAG")
            .gives(304, Answer::Is("")),
        fails("PUT /cache/CACHED?value=", 400, "invalid_value"),
        fails("PUT /cache/CACHED?value=a&ttl=-1", 400, "invalid_ttl"),
        hits(
            "GET /api?key=cache:CACHED",
            r#"{"key":"cache:CACHED","data":"a b","type":"bytes","node":"OWNER"}"#,
        ),
        is("DELETE /cache/CACHED", r#"{"key":"CACHED","deleted":true}"#),
        is(
            "DELETE /cache/CACHED",
            r#"{"key":"CACHED","deleted":false}"#,
        ),
        fails("GET /cache/CACHED", 404, "not_found"),
    ]
}

pub(crate) fn flags() -> Vec<Step> {
    const SET: &str = r#"{"key":"FLAGGED","value":true,"node":"OWNER"}"#;
    const UNSET: &str = r#"{"key":"FLAGGED","value":false,"node":"OWNER"}"#;
    vec![
        misses("GET /flags/FLAGGED", UNSET),
        stores("PUT /flags/FLAGGED?value=1"),
        hits("GET /flags/FLAGGED", SET),
        send("PUT /flags/FLAGGED", r#"{"value":false,"ttl":"1m"}"#)
            .gives(204, Answer::Is(""))
            .with("x-ttl-ms", Header::UpTo(60_000)),
        hits("GET /flags/FLAGGED", UNSET),
        fails("PUT /flags/FLAGGED?value=maybe", 400, "invalid_flag"),
        fails("PUT /flags/FLAGGED", 400, "invalid_flag"),
        send("PUT /api", r#"{"key":"flags:FLAGGED","data":{}}"#),
        fails("GET /flags/FLAGGED", 409, "wrong_type"),
        stores("PUT /flags/FLAGGED?value=true"),
        is(
            "DELETE /flags/FLAGGED",
            r#"{"key":"FLAGGED","deleted":true}"#,
        ),
        misses("GET /flags/FLAGGED", UNSET),
    ]
}

pub(crate) fn kv() -> Vec<Step> {
    const BINARY: &str = r#"{"key":"STRING","value":{"base64":"/wA="},"node":"OWNER"}"#;
    let failed = || Answer::Error("precondition_failed");
    vec![
        fails("GET /kv/STRING", 404, "not_found"),
        ask("PUT /kv/STRING?value=a")
            .header("if-match", "*")
            .gives(412, failed()),
        send("PUT /kv/STRING", r#"{"content":{"base64":"/wA="}}"#)
            .header("if-none-match", "*")
            .gives(204, Answer::Is(""))
            .with("etag", Header::Fresh)
            .with("x-ttl-ms", Header::Absent),
        hits("GET /kv/STRING", BINARY),
        ask("HEAD /kv/STRING")
            .gives(200, Answer::Is(""))
            .with("etag", Header::Is("ETAG")),
        ask("PUT /kv/STRING?value=a")
            .header("if-none-match", "*")
            .gives(412, failed())
            .with("etag", Header::Is("ETAG")),
        ask("PUT /kv/STRING?value=")
            .header("if-match", "ETAG")
            .gives(204, Answer::Is("")),
        hits(
            "GET /kv/STRING",
            r#"{"key":"STRING","value":"","node":"OWNER"}"#,
        ),
        fails("PUT /kv/STRING", 400, "invalid_value"),
        fails("PUT /kv/STRING?value=a&tll=1", 400, "unknown_parameter"),
        send(
            "PUT /kv/STRING",
            format!(r#"{{"value":"{}"}}"#, "x".repeat(1_001)),
        )
        .gives(413, Answer::Error("value_too_large")),
        is("DELETE /kv/STRING", r#"{"key":"STRING","deleted":true}"#),
        fails("GET /kv/STRING", 404, "not_found"),
    ]
}

pub(crate) fn sets() -> Vec<Step> {
    const EMPTY: &str = r#"{"set":"MEMBERS","key":"MEMBERS","items":[],"node":"OWNER"}"#;
    vec![
        misses("GET /sets/MEMBERS", EMPTY),
        is(
            "PUT /sets/MEMBERS?item=a",
            r#"{"set":"MEMBERS","key":"MEMBERS","items":["a"],"added":1,"node":"OWNER"}"#,
        )
        .with("etag", Header::Fresh),
        is(
            "PUT /sets/MEMBERS?item=a",
            r#"{"set":"MEMBERS","key":"MEMBERS","items":["a"],"added":0,"node":"OWNER"}"#,
        )
        .with("etag", Header::Is("ETAG")),
        send("PUT /sets/MEMBERS", r#"["b",{"base64":"/w=="},"a"]"#)
            .header("prefer", "return=minimal")
            .gives(
                200,
                Answer::Is(r#"{"set":"MEMBERS","key":"MEMBERS","added":2,"node":"OWNER"}"#),
            )
            .with("preference-applied", Header::Is("return=minimal"))
            .with("etag", Header::Fresh),
        hits(
            "GET /sets/MEMBERS",
            r#"{"set":"MEMBERS","key":"MEMBERS","items":["a","b",{"base64":"/w=="}],"node":"OWNER"}"#,
        ),
        hits(
            "GET /sets/MEMBERS?item=b&item=c",
            r#"{"set":"MEMBERS","key":"MEMBERS","contains":{"b":true,"c":false},"node":"OWNER"}"#,
        ),
        hits(
            "GET /sets/MEMBERS?length",
            r#"{"set":"MEMBERS","key":"MEMBERS","length":3,"node":"OWNER"}"#,
        ),
        ask("GET /sets/MEMBERS?random&count=2").gives(
            200,
            Answer::Json(|found, _| assert_eq!(found["items"].as_array().unwrap().len(), 2)),
        ),
        fails("GET /sets/MEMBERS?random&count=0", 400, "invalid_parameter"),
        fails("PUT /sets/MEMBERS", 400, "invalid_value"),
        ask("DELETE /sets/MEMBERS?item=a")
            .header("if-match", "\"0000000000000001-00000001\"")
            .gives(412, Answer::Error("precondition_failed"))
            .with("etag", Header::Is("ETAG")),
        ask("DELETE /sets/MEMBERS?item=a&item=b").gives(
            200,
            Answer::Is(
                r#"{"set":"MEMBERS","key":"MEMBERS","items":[{"base64":"/w=="}],"removed":2,"node":"OWNER"}"#,
            ),
        ),
        is(
            "POST /sets/MEMBERS?pop&count=5",
            r#"{"set":"MEMBERS","key":"MEMBERS","items":[{"base64":"/w=="}],"node":"OWNER"}"#,
        ),
        misses("GET /sets/MEMBERS", EMPTY),
        is("PUT /sets/MEMBERS?replace&item=z", r#"{"set":"MEMBERS","key":"MEMBERS","items":["z"],"length":1,"node":"OWNER"}"#),
        hits(
            "GET /api?key=sets:MEMBERS",
            r#"{"key":"sets:MEMBERS","data":["z"],"type":"set","node":"OWNER"}"#,
        ),
        is("DELETE /sets/MEMBERS", r#"{"key":"MEMBERS","deleted":true}"#),
        misses("GET /sets/MEMBERS", EMPTY),
    ]
}

pub(crate) fn hashes() -> Vec<Step> {
    vec![
        misses(
            "GET /hashes/FIELDS",
            r#"{"hash":"FIELDS","key":"FIELDS","fields":{},"node":"OWNER"}"#,
        ),
        fails("GET /hashes/FIELDS?field=f", 404, "not_found").with("x-cache", Header::Is("MISS")),
        is(
            "PUT /hashes/FIELDS?field=f&value=v",
            r#"{"hash":"FIELDS","key":"FIELDS","added":1,"node":"OWNER"}"#,
        )
        .with("etag", Header::Fresh),
        send("PUT /hashes/FIELDS", r#"{"f":"w","g":1.0,"h":""}"#).gives(
            200,
            Answer::Is(r#"{"hash":"FIELDS","key":"FIELDS","added":2,"node":"OWNER"}"#),
        ),
        hits(
            "GET /hashes/FIELDS",
            r#"{"hash":"FIELDS","key":"FIELDS","fields":{"f":"w","g":"1.0","h":""},"node":"OWNER"}"#,
        ),
        hits(
            "GET /hashes/FIELDS?field=g",
            r#"{"hash":"FIELDS","key":"FIELDS","field":"g","value":"1.0","node":"OWNER"}"#,
        ),
        hits(
            "GET /hashes/FIELDS?field=h&field=x",
            r#"{"hash":"FIELDS","key":"FIELDS","fields":{"h":"","x":null},"node":"OWNER"}"#,
        ),
        hits(
            "GET /hashes/FIELDS?names",
            r#"{"hash":"FIELDS","key":"FIELDS","names":["f","g","h"],"node":"OWNER"}"#,
        ),
        is(
            "PUT /hashes/FIELDS?field=g&increment=0.5",
            r#"{"hash":"FIELDS","key":"FIELDS","field":"g","value":1.5,"node":"OWNER"}"#,
        ),
        is(
            "PUT /hashes/FIELDS?field=n&increment=-3",
            r#"{"hash":"FIELDS","key":"FIELDS","field":"n","value":-3,"node":"OWNER"}"#,
        ),
        fails(
            "PUT /hashes/FIELDS?field=f&increment=1",
            409,
            "not_a_number",
        ),
        fails(
            "PUT /hashes/FIELDS?field=f&increment=x",
            400,
            "invalid_parameter",
        ),
        is(
            "DELETE /hashes/FIELDS?field=f&field=x",
            r#"{"hash":"FIELDS","key":"FIELDS","removed":1,"node":"OWNER"}"#,
        ),
        is(
            "GET /hashes/FIELDS?length",
            r#"{"hash":"FIELDS","key":"FIELDS","length":3,"node":"OWNER"}"#,
        ),
        send(
            "PUT /hashes/FIELDS",
            format!(r#"{{"l":"{}"}}"#, "x".repeat(1_001)),
        )
        .gives(413, Answer::Error("value_too_large")),
        is(
            "DELETE /hashes/FIELDS",
            r#"{"key":"FIELDS","deleted":true}"#,
        ),
    ]
}

pub(crate) fn lists() -> Vec<Step> {
    vec![
        misses(
            "GET /lists/ELEMENTS",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","items":[],"node":"OWNER"}"#,
        ),
        fails("PUT /lists/ELEMENTS?index=0&item=a", 404, "not_found"),
        is(
            "POST /lists/ELEMENTS?item=b&item=c",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","length":2,"node":"OWNER"}"#,
        )
        .with("etag", Header::Fresh),
        send("POST /lists/ELEMENTS?push=left", r#"["a",0]"#).gives(
            200,
            Answer::Is(r#"{"list":"ELEMENTS","key":"ELEMENTS","length":4,"node":"OWNER"}"#),
        ),
        hits(
            "GET /lists/ELEMENTS",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","items":["0","a","b","c"],"node":"OWNER"}"#,
        ),
        hits(
            "GET /lists/ELEMENTS?from=-2&to=9",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","items":["b","c"],"node":"OWNER"}"#,
        ),
        hits(
            "GET /lists/ELEMENTS?index=1",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","index":1,"item":"a","node":"OWNER"}"#,
        ),
        fails("GET /lists/ELEMENTS?index=4", 404, "not_found"),
        fails(
            "PUT /lists/ELEMENTS?index=4&item=x",
            400,
            "index_out_of_range",
        ),
        is(
            "PUT /lists/ELEMENTS?index=-1&item=d",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","index":-1,"node":"OWNER"}"#,
        ),
        is(
            "POST /lists/ELEMENTS?trim&from=1",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","node":"OWNER"}"#,
        ),
        is(
            "POST /lists/ELEMENTS?pop=right&count=2",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","items":["d","b"],"node":"OWNER"}"#,
        ),
        is(
            "DELETE /lists/ELEMENTS?item=x",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","removed":0,"node":"OWNER"}"#,
        ),
        send("PUT /lists/ELEMENTS?replace", "[1,2,1]").gives(
            200,
            Answer::Is(r#"{"list":"ELEMENTS","key":"ELEMENTS","length":3,"node":"OWNER"}"#),
        ),
        is(
            "DELETE /lists/ELEMENTS?item=1",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","removed":2,"node":"OWNER"}"#,
        ),
        is(
            "DELETE /lists/ELEMENTS",
            r#"{"key":"ELEMENTS","deleted":true}"#,
        ),
    ]
}

/// How long collections live that are made by adding to them.
pub(crate) fn lives() -> Vec<Step> {
    let lives = |request, ms| ask(request).with("x-ttl-ms", Header::UpTo(ms));
    vec![
        lives("PUT /sets/MEMBERS?item=a&ttl=60", 60_000),
        lives("PUT /sets/MEMBERS?item=b&ttl=600", 60_000),
        lives("GET /sets/MEMBERS", 60_000),
        lives("PUT /hashes/FIELDS?field=f&value=v&ttl=60", 60_000),
        lives("PUT /hashes/FIELDS?field=g&value=v&ttl=600", 60_000),
        lives("POST /lists/ELEMENTS?item=a&ttl=60", 60_000),
        lives("POST /lists/ELEMENTS?item=b&ttl=600&push=left", 60_000),
        is(
            "GET /lists/ELEMENTS",
            r#"{"list":"ELEMENTS","key":"ELEMENTS","items":["b","a"],"node":"OWNER"}"#,
        ),
        ask("PUT /lists/ELEMENTS?item=a&replace").with("x-ttl-ms", Header::Absent),
        fails("PUT /sets/MEMBERS?item=c&ttl=0", 400, "invalid_ttl"),
    ]
}

pub(crate) fn bare() -> Vec<Step> {
    vec![
        fails("GET /KEY", 404, "not_found").with("x-cache", Header::Is("MISS")),
        send(
            "PUT /",
            r#"{"key":"KEY","value":[1.0,null],"ttl-l1":"10s","ttl-l2":"60s"}"#,
        )
        .gives(
            200,
            Answer::Is(r#"{"message":"Successfully put key KEY","status":200}"#),
        )
        .with("etag", Header::Fresh)
        .with("x-ttl-ms", Header::UpTo(60_000)),
        hits("GET /KEY", "[1.0,null]").with("x-ttl-ms", Header::UpTo(60_000)),
        hits("GET /KEY/", "[1.0,null]"),
        hits(
            "GET /api?key=KEY",
            r#"{"key":"KEY","data":[1.0,null],"node":"OWNER"}"#,
        ),
        ask("GET /KEY")
            .header("if-none-match", "ETAG")
            .gives(304, Answer::Is("")),
        send("PUT /", r#"{"key":"KEY","value":1,"ttl":"soon"}"#)
            .gives(400, Answer::Error("invalid_ttl")),
        hits("GET /KEY", "[1.0,null]"),
        is(
            "DELETE /KEY",
            r#"{"key":"KEY","deleted":true,"message":"Successfully deleted key KEY","status":200}"#,
        ),
        is(
            "DELETE /KEY",
            r#"{"key":"KEY","deleted":false,"message":"Key KEY not found!","status":200}"#,
        ),
        fails("GET /KEY", 404, "not_found"),
    ]
}

pub(crate) fn parts() -> Vec<Step> {
    vec![
        misses(
            "GET /api?key=KEY&path=$.a",
            r#"{"key":"KEY","path":"$.a","data":null,"node":"OWNER"}"#,
        ),
        send(
            "PUT /api",
            r#"{"key":"KEY","data":{"a":{"b":1.0},"c":[1,2]}}"#,
        ),
        hits(
            "GET /api?key=KEY&path=$..b",
            r#"{"key":"KEY","path":"$..b","data":[1.0],"node":"OWNER"}"#,
        ),
        hits(
            "GET /api?key=KEY&path=a.b",
            r#"{"key":"KEY","path":"a.b","data":1.0,"node":"OWNER"}"#,
        ),
        hits(
            "GET /api?key=KEY&path=x",
            r#"{"key":"KEY","path":"x","data":null,"node":"OWNER"}"#,
        ),
        send(
            "PATCH /api",
            r#"{"key":"KEY","path":"$.a","data":{"b":null,"d":1e2}}"#,
        )
        .gives(
            200,
            Answer::Is(r#"{"key":"KEY","path":"$.a","patched":true,"node":"OWNER"}"#),
        )
        .with("etag", Header::Fresh),
        hits("GET /KEY", r#"{"a":{"d":1e2},"c":[1,2]}"#),
        fails("GET /api?key=KEY&path=$[", 400, "invalid_path"),
        send("PATCH /api", r#"{"key":"KEY","path":"$.x.y","data":1}"#)
            .gives(400, Answer::Error("path_mismatch")),
        hits("GET /KEY", r#"{"a":{"d":1e2},"c":[1,2]}"#),
    ]
}

pub(crate) fn commands() -> Vec<Step> {
    let answers = |body: &str, reply| {
        let body = format!(r#"{{"command":{body}}}"#);
        send("POST /command", body).gives(200, Answer::Is(reply))
    };
    let fails = |body: &str, status, code| {
        let body = format!(r#"{{"command":{body}}}"#);
        send("POST /command", body).gives(status, Answer::Error(code))
    };
    vec![
        answers(r#""HGET KEY f""#, "null"),
        answers(r#""HSET KEY f \"a b\" g 1""#, "2"),
        answers(r#"["HGET","KEY","f"]"#, r#""a b""#),
        answers(r#""HGETALL KEY""#, r#"{"f":"a b","g":"1"}"#),
        answers(r#"["HSET","KEY","f",{"base64":"/w=="}]"#, "0"),
        answers(r#""hmget KEY f x""#, r#"[{"base64":"/w=="},null]"#),
        fails(r#""INCR KEY""#, 409, "wrong_type"),
        fails(r#""HSET KEY f""#, 400, "invalid_command"),
        answers(r#""DEL KEY""#, "1"),
        answers(r#""RPUSH KEY a b c""#, "3"),
        answers(r#""LRANGE KEY 0 -1""#, r#"["a","b","c"]"#),
        answers(r#""LPOP KEY 2""#, r#"["a","b"]"#),
        answers(r#""EXPIRE KEY 60""#, "1"),
        answers(r#""MSET KEY0 0 KEY1 1 KEY2 2""#, r#""OK""#),
        answers(r#""MGET KEY0 KEY1 KEY2 KEY""#, r#"["0","1","2",null]"#),
    ]
}
