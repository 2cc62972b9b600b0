//! Attacks on the list of where a sign-in may lead.

use super::*;

const SITE: &str = "https://shop.example/welcome";

fn settings(listed: &[&str]) -> AuthSettings {
    AuthSettings {
        site_url: Some(SITE.to_owned()),
        redirect_urls: listed.iter().map(|url| (*url).to_owned()).collect(),
        ..AuthSettings::default()
    }
}

const LISTED: [&str; 9] = [
    "https://app.example/back",
    "https://app.example/in/*",
    "https://app.example/all/**",
    "https://*.preview.example/cb",
    "https://pr-*.team.example/cb",
    "http://localhost:*/cb",
    "https://xn--bcher-kva.example/cb",
    "https://q.example/cb?next=*",
    "myapp://cb",
];

fn allowed(wanted: &str) -> bool {
    let led = target(
        &settings(&LISTED),
        "https://node.example/a/shop",
        Some(wanted),
    );
    assert!(led == wanted || led == SITE, "{led}");
    led == wanted
}

#[test]
fn what_is_listed_and_what_is_the_sites() {
    for wanted in [
        "https://shop.example",
        "https://shop.example/",
        "https://SHOP.example/any/page?with=query&and=more",
        "https://shop.example:443/",
        "https://app.example/back",
        "https://app.example/back?sb_flow_id=7d1",
        "https://app.example/in/one",
        "https://app.example/in/one?x=1",
        "https://app.example/in/",
        "https://app.example/all/one/two?x=1",
        "https://one.preview.example/cb",
        "https://pr-12.team.example/cb",
        "http://localhost:3000/cb",
        "http://localhost/cb",
        "https://xn--bcher-kva.example/cb",
        "https://q.example/cb?next=home",
        "https://q.example/cb?sb_flow_id=1&next=home",
        "myapp://cb",
        "myapp://cb?sb_flow_id=1",
        "https://app.example/in/a%20b",
        "https://app.example/in/%C3%A9",
    ] {
        assert!(allowed(wanted), "{wanted}");
    }
}

#[test]
fn attacks() {
    let tab = "https://shop.example\t.evil.example/";
    for wanted in [
        "",
        "/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https:\\\\evil.example",
        "https://evil.example",
        "https://shop.example.evil.example",
        "https://shop.example@evil.example",
        "https://shop.example:443@evil.example",
        "https://shop.example:x@evil.example",
        "https://evil.example@shop.example",
        "https://u:p@app.example/back",
        "https://evil.example\\@shop.example",
        "https://evil.example\\.shop.example",
        "https://shop.example\\.evil.example",
        "https://evil.example#shop.example",
        "https://shop.example#@evil.example",
        "https://evil.example/?https://shop.example",
        "https://evil.example/shop.example",
        "https://shop.example%2eevil.example",
        "https://shop.example%2f.evil.example",
        "https://shop%2eexample/",
        "https://shop.example%00.evil.example",
        "https://shop.example:99999/",
        "https://shop.example:/",
        "https://shop.example:443x/",
        "https://shop.example:8443/",
        "http://shop.example/",
        "HTTP://shop.example/",
        "https://shop.example./",
        "https://.shop.example/",
        "https://xshop.example/",
        "https://shop.examplex/",
        "https://\u{455}hop.example/",
        "https://shop\u{3002}example/",
        "https://shop.example\u{2044}evil.example/",
        "https://shop.example\r\nlocation: https://evil.example",
        "https://shop.example/a\u{0}b",
        "https://shop.example/ x",
        " https://shop.example/",
        tab,
        "https://shop.example//evil.example",
        "https://shop.example/../x",
        "https://shop.example/%2e%2e/x",
        "https://shop.example/.%2e/x",
        "https://shop.example/a%2f..%2fb",
        "https://shop.example/%5c..",
        "https://shop.example/%252e%252e/x",
        "https://shop.example/%zz",
        "https://shop.example/%0d%0aset-cookie:x",
        "javascript:alert(1)",
        "JavaScript://shop.example/%0aalert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://shop.example/1",
        "view-source:https://shop.example",
        "ws://shop.example",
        "myapp://cb/more",
        "myapp://cb?x=1",
        "MYAPP://cb",
        "myapp:cb",
        "otherapp://cb",
        "https://app.example/backx",
        "https://app.example/back/",
        "https://app.example/BACK",
        "https://app.example/back?x=1",
        "https://app.example/back;x",
        "https://app.example/in/one/two",
        "https://app.example/in/../back",
        "https://app.example/in",
        "https://app.example/all",
        "https://a.b.preview.example/cb",
        "https://preview.example/cb",
        "https://evil.example/.preview.example/cb",
        "https://evil.example?.preview.example/cb",
        "https://xn--e1awd7f.preview.example/cb",
        "https://pr-1.evil.team.example/cb",
        "https://team.example/cb",
        "http://localhost.evil.example:3000/cb",
        "http://localhost:3000/cb/x",
        "http://127.0.0.1:3000/cb",
        "http://[::1]:3000/cb",
        "https://q.example/cb",
        "https://q.example/cb?next=a&more=b",
        "https://node.example/a/other/",
        "https://0x7f.1/",
        "https://2130706433/",
    ] {
        assert!(!allowed(wanted), "{wanted:?}");
    }
    let long = format!(
        "https://shop.example/{}",
        "a".repeat(limits::REDIRECT_BYTES_MAX)
    );
    assert!(!allowed(&long));
    assert!(allowed(&long[..limits::REDIRECT_BYTES_MAX]));
}

#[test]
fn apps_that_share_a_host_are_apart() {
    let none = AuthSettings::default();
    let app = "https://node.example/a/shop";
    let led = |wanted| target(&none, app, Some(wanted)) == wanted;
    assert_eq!(target(&none, app, None), app);
    assert!(led("https://node.example/a/shop"));
    assert!(led("https://node.example/a/shop/page?x=1"));
    for wanted in [
        "https://node.example/a/shop2",
        "https://node.example/a/forum/",
        "https://node.example/",
        "https://node.example/a/shop/../forum/",
        "https://node.example/a/shop/%2e%2e/forum/",
    ] {
        assert!(!led(wanted), "{wanted}");
    }
    // Nor does a site of the same host open the others.
    let site = AuthSettings {
        site_url: Some("https://node.example/a/shop/welcome".to_owned()),
        ..AuthSettings::default()
    };
    let led = |wanted| target(&site, app, Some(wanted)) == wanted;
    assert!(led("https://node.example/a/shop/x"));
    assert!(!led("https://node.example/a/forum/x"));
}

#[test]
fn patterns_that_say_nothing_of_whose_it_is_match_nothing() {
    for pattern in [
        "**",
        "*",
        "https://**",
        "https://*",
        "https://*.example",
        "https://a.*",
        "https://a.b.*",
        "*://app.example/",
        "https://**.example/**",
        "https:*",
    ] {
        let settings = settings(&[pattern]);
        for wanted in [
            "https://evil.example/",
            "https://a.b.example/",
            "http://evil.example",
        ] {
            assert_eq!(
                target(&settings, "", Some(wanted)),
                SITE,
                "{pattern} {wanted}"
            );
        }
    }
    assert!(Parts::read("https://**.app.example/**", true).is_some());
}

#[test]
fn on_the_developers_machine_the_port_is_free() {
    let settings = AuthSettings {
        site_url: Some("http://127.0.0.1:3000".to_owned()),
        ..AuthSettings::default()
    };
    let led = |wanted| target(&settings, "http://127.0.0.1:8000", Some(wanted)) == wanted;
    assert!(led("http://127.0.0.1:5173/x"));
    assert!(!led("http://127.0.0.2:5173/x"));
    assert!(!led("https://127.0.0.1:5173/x"));
}

#[test]
fn parts_and_several_parts() {
    for (pattern, text, expect) in [
        ("a*c", "abbc", true),
        ("a*c", "ab/c", false),
        ("a**c", "ab/c", true),
        ("*", "", true),
        ("**", "/a/b", true),
        ("a*", "a/", false),
        ("*a*a*b", "aaaaaaaab", true),
        ("*a*a*c", "aaaaaaaab", false),
        ("", "", true),
        ("", "a", false),
        ("a", "", false),
        ("***", "a/b", true),
    ] {
        assert_eq!(glob(pattern, text, b'/'), expect, "{pattern} {text}");
    }
}

#[test]
fn what_is_added_leaves_the_target_as_it_is() {
    let pairs = [("code", "a b"), ("sb", "")];
    for (target, query, fragment) in [
        (
            "https://a.b",
            "https://a.b?code=a+b&sb=",
            "https://a.b#code=a+b&sb=",
        ),
        (
            "https://a.b/?",
            "https://a.b/?code=a+b&sb=",
            "https://a.b/?#code=a+b&sb=",
        ),
        (
            "https://A.b/%7E?x=%20&y",
            "https://A.b/%7E?x=%20&y&code=a+b&sb=",
            "https://A.b/%7E?x=%20&y#code=a+b&sb=",
        ),
        (
            "myapp://cb",
            "myapp://cb?code=a+b&sb=",
            "myapp://cb#code=a+b&sb=",
        ),
    ] {
        assert_eq!(with_query(target, &pairs), query);
        assert_eq!(with_fragment(target, &pairs), fragment);
    }
}

#[test]
fn texts_of_any_shape() {
    let corpus: Vec<String> = [
        "https://shop.example/a?b=c&sb_flow_id=1",
        "https://one.preview.example/x/y",
        "https://app.example/back",
        "http://localhost:3000/cb",
        "myapp://cb",
        "https://u:p@evil.example:8443/..%2f?#x",
        "javascript:alert(1)//\\\\[::1]",
    ]
    .map(str::to_owned)
    .to_vec();
    let parts = [
        "@",
        ":",
        "/",
        "//",
        "\\",
        "?",
        "#",
        "%2e",
        "%2f",
        ".",
        "..",
        "*",
        "shop.example",
        ".preview.example",
        "evil.example",
        "https://",
        "\t",
        "\u{0}",
        "\u{3002}",
        "[",
        "]",
        "xn--",
        "&",
        "sb_flow_id=",
        "localhost",
        "443",
        " ",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..200_000 {
        let mut text: Vec<char> = corpus[random(corpus.len())].chars().collect();
        for _ in 0..1 + random(4) {
            let at = random(text.len() + 1);
            match random(3) {
                0 => {
                    let part = parts[random(parts.len())];
                    text.splice(at..at, part.chars());
                }
                1 => {
                    let end = (at + random(6)).min(text.len());
                    text.drain(at..end);
                }
                _ => {
                    let other: Vec<char> = corpus[random(corpus.len())].chars().collect();
                    let from = random(other.len());
                    text.splice(at..at, other[from..].iter().copied());
                }
            }
        }
        fuzz(text.into_iter().collect::<String>().as_bytes());
    }
}
