//! Tests of [`super`]: every format, and what goes wrong in it.

use super::*;

fn items(format: Format, key: Option<&str>, text: &[u8]) -> anyhow::Result<Vec<Item>> {
    let source = Source {
        path: PathBuf::new(),
        format,
        key: key.map(str::to_owned),
        prefix: "p:".to_owned(),
        ttl: Some(Duration::from_secs(1)),
    };
    let input = Input {
        reader: Box::new(io::Cursor::new(text.to_vec())),
        read: Arc::default(),
        identity: None,
    };
    let mut items = Vec::new();
    source.read(input, &mut |item| {
        items.push(item);
        true
    })?;
    Ok(items)
}

fn lines(format: Format, key: Option<&str>, text: &str) -> Vec<String> {
    let items = items(format, key, text.as_bytes()).unwrap();
    let line = |item: Item| match item.record {
        Ok(record) => serde_json::to_string(&record).unwrap(),
        Err(why) => format!("{}: {why}", item.place),
    };
    items.into_iter().map(line).collect()
}

#[test]
fn ndjson_keeps_numbers_and_goes_on_behind_a_bad_line() {
    let text = "\u{feff}{\"key\":\"a\",\"data\":{\"n\": 1.0, \"e\":1e300}}\n\n\
                {\"key\":7,\"data\":{},\"ttl\":5}\nnonsense\n\
                {\"key\":1.5,\"data\":{}}\n{\"key\":\"b\",\"data\":{},\"TTL\":1}\n\
                {\"key\":\"c\",\"data\":[]}";
    let lines = lines(Format::Ndjson, None, text);
    assert_eq!(
        lines[0],
        r#"{"op":"put","key":"p:a","data":{"n":1.0,"e":1e300},"ttl":"1000ms"}"#
    );
    assert_eq!(lines[1], r#"{"op":"put","key":"p:7","data":{},"ttl":5}"#);
    assert!(lines[2].starts_with("line 4: expected"), "{}", lines[2]);
    assert!(
        lines[3].starts_with("line 5: the key is 1.5"),
        "{}",
        lines[3]
    );
    assert!(lines[4].contains("unknown field `TTL`"), "{}", lines[4]);
    assert!(lines[5].contains("\"p:c\""), "{}", lines[5]);
    assert_eq!(lines.len(), 6);
}

#[test]
fn ndjson_with_a_key_is_values() {
    let lines = lines(
        Format::Ndjson,
        Some("a.b"),
        "{\"a\":{\"b\":\"x\"}}\n[]\n{\"a\":1}\n",
    );
    assert!(
        lines[0].contains(r#""key":"p:x","data":{"a":{"b":"x"}}"#),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], "line 2: it is not an object");
    assert_eq!(lines[2], "line 3: it is not an object");
}

#[test]
fn csv_rows_are_objects_of_texts() {
    let text = "iata,name\n00M,\"Thig\"\"pen\nField\"\n01,\nshort\n0x1,y\n";
    let lines = lines(Format::Csv, Some("iata"), text);
    assert!(lines[0].contains(r#""key":"p:00M","data":{"iata":"00M","name":"Thig\"pen\nField"}"#));
    assert!(
        lines[1].contains(r#"{"iata":"01","name":""}"#),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2], "line 5: it has 1 fields, not 2");
    assert!(lines[3].contains("0x1"), "{}", lines[3]);
    let error = items(Format::Csv, Some("code"), b"iata,name\n")
        .err()
        .unwrap();
    assert!(
        error.is::<Usage>() && error.to_string().contains("iata, name"),
        "{error}"
    );
    assert!(items(Format::Csv, Some("a"), b"a,a\n").is_err());
}

#[test]
fn geojson_features_are_values_as_they_stand() {
    let text = "{\"metadata\":{\"features\":[1]},\"features\":[\n{\"id\":\"x\",\n \"m\":2.50},\
                {\"id\":12}, {\"no\":1}],\"bbox\":[1]}";
    let lines = lines(Format::Geojson, None, text);
    assert!(
        lines[0].contains(r#""key":"p:x","data":{"id":"x","m":2.50}"#),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains(r#""key":"p:12""#), "{}", lines[1]);
    assert_eq!(lines[2], "feature 3: there is no member id");
    for wrong in [
        "{}",
        "[]",
        "{\"features\":{}}",
        "{\"features\":[{\"id\":1}",
        "",
    ] {
        assert!(
            items(Format::Geojson, None, wrong.as_bytes()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn the_sink_can_stop_it() {
    let source = Source {
        path: PathBuf::new(),
        format: Format::Geojson,
        key: None,
        prefix: String::new(),
        ttl: None,
    };
    let input = Input {
        reader: Box::new(&b"{\"features\":[{\"id\":1},{\"id\":2},{\"id\":3}]}"[..]),
        read: Arc::default(),
        identity: None,
    };
    let mut seen = 0;
    source
        .read(input, &mut |_| {
            seen += 1;
            seen < 2
        })
        .unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn formats_have_extensions() {
    for (name, format) in [
        ("a.CSV", Some(Format::Csv)),
        ("a.jsonl", Some(Format::Ndjson)),
        ("a.json", Some(Format::Geojson)),
        ("a", None),
        ("-", None),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}
