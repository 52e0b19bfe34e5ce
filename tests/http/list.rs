//! `GET /snapshots` and `GET /volumes`: pages, filters, and whole lists.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, id_of},
    service::{ORGANIZATION, Service},
};

/// Snapshots `s0` … of one volume, each once it is whole.
fn snapshots(client: &Client, count: usize) -> Vec<String> {
    let volume = id_of(&client.make_volume(512));
    let ids: Vec<_> = (0..count)
        .map(|number| id_of(&client.snapshot(&volume, &format!("s{number}")).expect(200).json()["snapshot"]))
        .collect();
    for id in &ids {
        client.wait_for_state("snapshot", id, "available");
    }
    ids
}

#[track_caller]
fn listed(answer: &Answer, list: &str) -> Vec<String> {
    answer.json()[list].as_array().unwrap().iter().map(id_of).collect()
}

#[test]
fn the_whole_list_is_oldest_first_and_nothing_else() {
    let service = Service::start();
    let client = service.client();
    let ids = snapshots(&client, 3);

    let answer = client.get("/snapshots").expect(200);

    assert_eq!(listed(&answer, "snapshots"), ids);
    assert_eq!(answer.json().as_object().unwrap().len(), 1);
    assert_eq!(answer.header("x-total-count"), "3");
    assert!(!answer.has_header("link"));
    let one = client.get(&format!("/snapshots/{}", ids[0])).expect(200).json();
    assert_eq!(answer.json()["snapshots"][0], one["snapshot"]);
}

#[test]
fn a_list_of_nothing_is_an_empty_list() {
    let service = Service::start();

    for query in ["", "?", "?page=1", "?page=7&per_page=3", "?name=x"] {
        let answer = service.client().get(&format!("/snapshots{query}")).expect(200);
        assert_eq!(answer.json(), json!({"snapshots": []}), "{query}");
        assert_eq!(answer.header("x-total-count"), "0");
    }
}

#[test]
fn pages_are_cut_and_linked() {
    let service = Service::start();
    let client = service.client();
    let ids = snapshots(&client, 5);
    let page = |query: &str| {
        let answer = client.get(&format!("/snapshots?{query}")).expect(200);
        assert_eq!(answer.header("x-total-count"), "5");
        (listed(&answer, "snapshots"), answer.header("link").to_owned())
    };
    let link = |number: u32, rel: &str| format!("</snapshots?page={number}&per_page=2>; rel=\"{rel}\"");

    let first = [link(2, "next"), link(3, "last")].join(",");
    assert_eq!(page("page=1&per_page=2"), (ids[..2].to_vec(), first.clone()));
    assert_eq!(page("per_page=2"), (ids[..2].to_vec(), first));
    let second = [link(1, "first"), link(1, "previous"), link(3, "next"), link(3, "last")].join(",");
    assert_eq!(page("page=2&per_page=2"), (ids[2..4].to_vec(), second));
    let third = [link(1, "first"), link(2, "previous"), link(3, "last")].join(",");
    assert_eq!(page("page=3&per_page=2"), (ids[4..].to_vec(), third));
    let past_the_end = [link(1, "first"), link(3, "previous"), link(3, "last")].join(",");
    assert_eq!(page("page=9&per_page=2"), (vec![], past_the_end));
    assert_eq!(page("page=18446744073709551615&per_page=2").0, Vec::<String>::new());
}

#[test]
fn a_page_has_50_items_unless_it_is_told_otherwise() {
    let service = Service::start();
    let client = service.client();
    for _ in 0..51 {
        client.make_volume(512);
    }

    let answer = client.get("/volumes?page=1").expect(200);

    assert_eq!(listed(&answer, "volumes").len(), 50);
    let expected = r#"</volumes?page=2&per_page=50>; rel="next",</volumes?page=2&per_page=50>; rel="last""#;
    assert_eq!(answer.header("link"), expected);
    assert_eq!(listed(&client.get("/volumes?page=2").expect(200), "volumes").len(), 1);
    assert_eq!(
        listed(&client.get("/volumes?per_page=100").expect(200), "volumes").len(),
        51
    );
    assert_eq!(listed(&client.get("/volumes").expect(200), "volumes").len(), 51);
}

#[test]
fn a_long_list_is_sent_whole() {
    let service = Service::start();
    let client = service.client();
    let ids: Vec<_> = (0..205).map(|_| id_of(&client.make_volume(512))).collect();

    let answer = client.get("/volumes").expect(200);

    assert_eq!(listed(&answer, "volumes"), ids);
    assert_eq!(answer.header("x-total-count"), "205");
}

#[test]
fn links_repeat_the_filters() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    for _ in 0..2 {
        let body = json!({"name": "ä & b", "organization": ORGANIZATION, "volume_id": volume, "tags": ["x", "y"]});
        client.post("/snapshots", &body).expect(200);
    }

    let query = "?per_page=1&tags=x,y&name=%C3%A4+%26%20b&unknown=1";
    let answer = client.get(&format!("/snapshots{query}")).expect(200);

    let filters = "name=%C3%A4%20%26%20b&tags=x%2Cy";
    let expected = format!(
        "</snapshots?page=2&per_page=1&{filters}>; rel=\"next\",</snapshots?page=2&per_page=1&{filters}>; rel=\"last\""
    );
    assert_eq!(answer.header("link"), expected);
    let next = answer.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(listed(&client.get(&next).expect(200), "snapshots").len(), 1);
}

#[test]
fn filters_narrow_a_list() {
    let service = Service::start();
    let client = service.client();
    let (one, other) = (id_of(&client.make_volume(512)), id_of(&client.make_volume(512)));
    let make = |name: &str, volume: &str, tags: &[&str]| {
        let body = json!({"name": name, "organization": ORGANIZATION, "volume_id": volume, "tags": tags});
        let id = id_of(&client.post("/snapshots", &body).expect(200).json()["snapshot"]);
        client.wait_for_state("snapshot", &id, "available");
        id
    };
    let a = make("a", &one, &["nightly", "db"]);
    let b = make("b", &one, &["nightly"]);
    let c = make("ab", &other, &["night", "d,b"]);
    let nobody = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    for (query, expected) in [
        ("name=a".to_owned(), vec![&a]),
        ("name=A".to_owned(), vec![]),
        ("tags=nightly".to_owned(), vec![&a, &b]),
        ("tags=db,nightly".to_owned(), vec![&a]),
        ("tags=night".to_owned(), vec![&c]),
        (format!("base_volume_id={one}"), vec![&a, &b]),
        (format!("base_volume_id={nobody}"), vec![]),
        ("state=available".to_owned(), vec![&a, &b, &c]),
        ("state=error".to_owned(), vec![]),
        (format!("organization={ORGANIZATION}"), vec![&a, &b, &c]),
        (format!("project={ORGANIZATION}&name=b"), vec![&b]),
        (format!("organization={nobody}"), vec![]),
        (format!("organization={ORGANIZATION}&project={nobody}"), vec![]),
        (
            format!("name=b&tags=nightly&base_volume_id={one}&state=available"),
            vec![&b],
        ),
        (format!("name=b&base_volume_id={other}"), vec![]),
        ("zone=somewhere".to_owned(), vec![&a, &b, &c]),
    ] {
        for paging in ["", "&per_page=100"] {
            let answer = client.get(&format!("/snapshots?{query}{paging}")).expect(200);
            assert_eq!(
                listed(&answer, "snapshots").iter().collect::<Vec<_>>(),
                expected,
                "{query}{paging}"
            );
            assert_eq!(
                answer.header("x-total-count"),
                expected.len().to_string(),
                "{query}{paging}"
            );
        }
    }
    let volumes = client
        .get("/volumes?state=available&name=vol%20simple%20snapshot")
        .expect(200);
    assert_eq!(listed(&volumes, "volumes"), [one, other]);
    assert_eq!(
        listed(&client.get("/volumes?state=saving").expect(200), "volumes"),
        [] as [String; 0]
    );
}

#[test]
fn bad_parameters_are_named_all_at_once() {
    let service = Service::start();
    let query = "page=0&per_page=101&organization=me&name=&tags=a,,b&base_volume_id=1&state=gone";

    let answer = service.client().get(&format!("/snapshots?{query}")).expect(400).json();

    let expected = json!({
        "page": ["must be a whole number from 1"],
        "per_page": ["must be a whole number from 1 to 100"],
        "organization": ["must be a UUID"],
        "name": ["must not be empty"],
        "tags": ["a tag must not be empty"],
        "base_volume_id": ["must be a UUID"],
        "state": ["must be one of snapshotting, available, error"],
    });
    assert_eq!(answer["fields"], expected);
}

#[test]
fn a_list_is_narrowed_by_no_more_tags_than_something_can_have() {
    let service = Service::start();

    for list in ["snapshots", "volumes"] {
        let with_tags = |count: usize| {
            service
                .client()
                .get(&format!("/{list}?tags={}", vec!["a"; count].join(",")))
        };

        with_tags(64).expect(200);
        for count in [65, 5000] {
            let refused = with_tags(count).expect(400).json();
            let sentence = format!("must have at most 64 tags, has {count}");
            assert_eq!(refused["fields"], json!({"tags": [sentence]}));
        }
    }
}

#[test]
fn bad_values_are_refused_wherever_they_stand() {
    let service = Service::start();

    for query in [
        "page=-1",
        "page=1.5",
        "page=+1",
        "page=one",
        "page=",
        "page=18446744073709551616",
        "per_page=0",
        "page=1&page=2",
        "name=a%00b",
        "name=%ff",
        "state=AVAILABLE",
        "tags=",
    ] {
        for list in ["snapshots", "volumes"] {
            let answer = service.client().get(&format!("/{list}?{query}")).expect(400).json();
            assert_eq!(answer["message"], "Validation Error", "{list} {query}");
        }
    }
}

#[test]
fn what_is_worked_on_shows_its_progress() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&crate::client::noise(24 << 20, 1));
    client.snapshot(&volume, "x").expect(200);

    let list = client.get("/snapshots").expect(200).json();

    let snapshot = &list["snapshots"][0];
    let is_copying = snapshot["state"] == "snapshotting";
    assert_eq!(
        snapshot.get("progress").is_some_and(Value::is_u64),
        is_copying,
        "{snapshot}"
    );
}
