use std::collections::BTreeSet;

use super::*;

fn prefer(values: &[&str], transaction: bool) -> Prefer {
    let zones = BTreeSet::from(["America/Los_Angeles"]);
    Prefer::read(values.iter().copied(), transaction, |zone| {
        zones.contains(zone)
    })
}

#[test]
fn preferences_are_read() {
    let all = prefer(
        &[
            "resolution=ignore-duplicates, count=exact,  timezone=America/Los_Angeles",
            "max-affected=100,missing=null , handling=strict, return=headers-only, tx=rollback, anything, else",
        ],
        true,
    );
    let expected = Prefer {
        resolution: Some(Resolution::IgnoreDuplicates),
        missing: Some(Missing::Null),
        returning: Some(Return::HeadersOnly),
        count: Some(Count::Exact),
        transaction: Some(TransactionWish::Rollback),
        handling: Some(Handling::Strict),
        timezone: Some("America/Los_Angeles".into()),
        max_affected: Some(100),
        invalid: vec!["anything".into(), "else".into()],
    };
    assert_eq!(all, expected);
    assert_eq!(
        refusal(all.check().unwrap_err()),
        "PGRST122: Invalid preferences given with handling=strict | Invalid preferences: anything, else"
    );

    let none = Prefer::default();
    let cases: [(&[&str], Prefer); 12] = [
        (&[], none.clone()),
        (&["", " , "], none.clone()),
        (&["tx=commit"], none.clone()),
        (
            &[
                "resolution=merge-duplicates",
                "resolution=ignore-duplicates",
            ],
            Prefer {
                resolution: Some(Resolution::MergeDuplicates),
                ..none.clone()
            },
        ),
        (
            &["missing=default,missing=null"],
            Prefer {
                missing: Some(Missing::Default),
                ..none.clone()
            },
        ),
        (
            &["return=minimal,return=representation"],
            Prefer {
                returning: Some(Return::Minimal),
                ..none.clone()
            },
        ),
        (
            &["return=representation"],
            Prefer {
                returning: Some(Return::Representation),
                ..none.clone()
            },
        ),
        (
            &["count=planned", "count=estimated"],
            Prefer {
                count: Some(Count::Planned),
                ..none.clone()
            },
        ),
        (
            &["count=estimated"],
            Prefer {
                count: Some(Count::Estimated),
                ..none.clone()
            },
        ),
        (
            &["handling=lenient,handling=strict,count=what"],
            Prefer {
                handling: Some(Handling::Lenient),
                invalid: vec!["count=what".into()],
                ..none.clone()
            },
        ),
        (
            &["timezone=Nowhere/At_All"],
            Prefer {
                invalid: vec!["timezone=Nowhere/At_All".into()],
                ..none.clone()
            },
        ),
        (&["max-affected=-1,max-affected=x"], none.clone()),
    ];
    for (values, expected) in cases {
        let read = prefer(values, false);
        assert_eq!(read, expected, "{values:?}");
        assert!(read.check().is_ok());
    }
}

#[test]
fn applied_preferences_stand_in_their_order() {
    let all = prefer(
        &[
            "max-affected=5, timezone=America/Los_Angeles, handling=strict, tx=commit, count=exact, return=representation, missing=default, resolution=merge-duplicates",
        ],
        true,
    );
    const LAST: &str = "count=exact, tx=commit, handling=strict, timezone=America/Los_Angeles";
    let cases = [
        (Write::Read, LAST.to_owned()),
        (
            Write::Insert { keyed: true },
            format!("resolution=merge-duplicates, missing=default, return=representation, {LAST}"),
        ),
        (
            Write::Insert { keyed: false },
            format!("missing=default, return=representation, {LAST}"),
        ),
        (
            Write::Update,
            format!("missing=default, return=representation, {LAST}, max-affected=5"),
        ),
        (Write::Replace, format!("return=representation, {LAST}")),
        (
            Write::Delete,
            format!("return=representation, {LAST}, max-affected=5"),
        ),
        (Write::Call, format!("{LAST}, max-affected=5")),
    ];
    for (request, expected) in cases {
        assert_eq!(all.applied(request), Some(expected));
    }
    let lenient = prefer(&["max-affected=5"], true);
    assert_eq!(lenient.applied(Write::Delete), None);
    // The example of the specification.
    let insert = prefer(&["return=representation,missing=default"], false);
    assert_eq!(
        insert.applied(Write::Insert { keyed: true }).as_deref(),
        Some("missing=default, return=representation")
    );
}

const JSON: Media = Media::Json {
    nulls_stripped: false,
};

#[test]
fn media_types_are_chosen() {
    let served = |media: &Media| {
        let plain = |media: &Media| {
            matches!(
                media,
                Media::Json { .. } | Media::Object { .. } | Media::Csv
            )
        };
        match media {
            Media::Plan { of, .. } => plain(of),
            media => plain(media),
        }
    };
    let choose = |header: &str| Accept::read([header]).choose(JSON, served);
    check(
        choose,
        |media| media.content_type().into_owned(),
        &[
            ("*/*", "application/json; charset=utf-8"),
            ("", "application/json; charset=utf-8"),
            ("application/json", "application/json; charset=utf-8"),
            (
                "application/vnd.pgrst.array+json",
                "application/json; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.array+json;nulls=stripped",
                "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
            ),
            (
                "ApplicatIon/vnd.PgRsT.object+json",
                "application/vnd.pgrst.object+json; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.object+json; Nulls=\"stripped\"",
                "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
            ),
            ("text/csv", "text/csv; charset=utf-8"),
            (
                "text/csv;q=0.5, application/json;q=0.9",
                "application/json; charset=utf-8",
            ),
            ("text/csv, application/json", "text/csv; charset=utf-8"),
            (
                "application/json;q=0.1, text/csv; q=0.2",
                "text/csv; charset=utf-8",
            ),
            (
                "text/html,application/xml;q=0.9,*/*;q=0.8",
                "application/json; charset=utf-8",
            ),
            ("text/csv, */*; q=0.01", "text/csv; charset=utf-8"),
            ("text/csv;q=0, */*;q=0.1", "application/json; charset=utf-8"),
            (
                "application/vnd.pgrst.plan",
                "application/vnd.pgrst.plan+text; for=\"application/json\"; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.plan+json ; for=\"text/csv\" ; options=analyze|verbose|settings|buffers|wal;",
                "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=analyze|verbose|settings|buffers|wal; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.plan; for=\"application/vnd.pgrst.object+json;nulls=stripped\"",
                "application/vnd.pgrst.plan+text; for=\"application/vnd.pgrst.object+json;nulls=stripped\"; charset=utf-8",
            ),
            (
                "text/unknowntype",
                "PGRST107: None of these media types are available: text/unknowntype",
            ),
            (
                "undefined",
                "PGRST107: None of these media types are available: undefined",
            ),
            (
                "text/xml, text/plain;q=0.5",
                "PGRST107: None of these media types are available: text/xml, text/plain",
            ),
            (
                "application/vnd.pgrst.plan; for=\"application/vnd.pgrst.plan\"",
                "PGRST107: None of these media types are available: application/vnd.pgrst.plan; for=\"application/vnd.pgrst.plan\"",
            ),
        ],
    );
    assert_eq!(
        Accept::read([]).choose(Media::Csv, served).unwrap(),
        Media::Csv
    );
    for media in [
        Media::OpenApi,
        Media::OctetStream,
        Media::Text,
        Media::Xml,
        Media::GeoJson,
    ] {
        assert_eq!(Media::read(&media.name()), Some(media));
    }
    assert_eq!(
        Media::OctetStream.content_type(),
        "application/octet-stream"
    );
}

#[test]
fn ranges_are_joined() {
    let read = |header: Option<&str>, limit, offset| Range::read(header, limit, offset);
    let cases = [
        (None, None, None, (0, None)),
        (None, Some(5), Some(2), (2, Some(5))),
        (Some("0-9"), None, None, (0, Some(10))),
        (Some("5-"), None, None, (5, None)),
        (Some("3-3"), None, None, (3, Some(1))),
        (Some("0-9"), Some(3), None, (0, Some(3))),
        (Some("0-1"), Some(3), None, (0, Some(2))),
        (Some("2-9"), Some(5), Some(4), (4, Some(5))),
        (Some("9-0"), Some(0), Some(7), (0, Some(0))),
        (Some("items=0-9"), None, None, (0, None)),
        (Some("-9"), None, None, (0, None)),
        (Some("0-9-"), None, None, (0, None)),
        (Some("a-b"), Some(1), None, (0, Some(1))),
        (
            Some("0-99999999999999999999"),
            None,
            None,
            (0, Some(1 << 63)),
        ),
    ];
    for (header, limit, offset, (first, rows)) in cases {
        let expected = Range {
            offset: first,
            limit: rows,
        };
        assert_eq!(read(header, limit, offset).unwrap(), expected, "{header:?}");
    }
    assert_eq!(
        refusal(read(Some("1-0"), None, None).unwrap_err()),
        "PGRST103: Requested range not satisfiable | The lower boundary must be lower than or equal to the upper boundary in the Range header."
    );
    assert_eq!(
        read(Some("5-9"), Some(2), None).unwrap_err().code(),
        Some("PGRST103")
    );
}
