//! More addresses than the gateway tells apart: who was counted stays counted, who has a key comes in, who floods does not, and
//! none of it takes memory.

use futures_util::StreamExt as _;

use crate::{
    client::{Client, question, send},
    config::Config,
    home::Home,
    vendor::{Say, Vendor},
};

async fn status(client: &Client, from: &str) -> u16 {
    send(client.post("/v1/chat/completions", &question("chat", "hi")).header("x-forwarded-for", from)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_more_addresses_than_there_is_room_for_crowds_out_itself() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let limits = "limits: { per_ip: { rpd: 3 }, failed_auth_per_minute: 2, most_addresses: 640 }";
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.more("trusted_proxies: [127.0.0.1]").more(limits).text());
    let gateway = home.serve();
    let (client, stranger) = (gateway.client(), gateway.client().with_key("sk-bs-nobody"));
    // Known before the flood, and at its limit.
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status(&client, "192.0.2.1").await, wanted);
    }
    let before = gateway.resident();
    // 6,000 networks of one provider, each within its own limit.
    let flood = futures_util::stream::iter((0..6000_u32).map(|number| {
        let stranger = stranger.clone();
        async move { status(&stranger, &format!("2001:db8:{:x}:{:x}::1", number >> 8, number & 0xff)).await }
    }));
    let answers: Vec<u16> = flood.buffer_unordered(100).collect().await;
    let refused = answers.iter().filter(|status| **status == 429).count();
    assert!(answers.iter().all(|status| matches!(status, 401 | 429)), "nothing else");
    assert!(refused > 4500, "only {refused} of 6000 were turned away unread");
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{} MB more than before", grown >> 20);
    gateway.logged("more addresses are in use than `limits.most_addresses`").await;

    // Nobody was forgotten to make room; whoever comes new from elsewhere has limits of its own; a key opens from the flood's
    // own network, too; and without one there is no way in from there.
    assert_eq!(status(&client, "192.0.2.1").await, 429);
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status(&client, "198.51.100.7").await, wanted);
    }
    for number in 0..20 {
        assert_eq!(status(&client, &format!("2001:db8:ffff:{number:x}::1")).await, 200);
    }
    assert_eq!(status(&stranger, "2001:db8:ffff:ff::1").await, 429);
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    gateway.stop();
}

/// Headers that only a proxy, or nobody, may write.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_caller_claims_to_be_counts_for_nothing() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let text = config.more("limits: { per_ip: { rpd: 12 } }").text();
    let home = Home::new(&text.replace("acme: {}", "acme: {}, rich: { rpm: 1000 }"));
    let gateway = home.serve();
    let narrow = home.ok(&["keys", "issue", "--tenant", "acme", "--feature", "search"]).trim().to_owned();
    let client = gateway.client().with_key(&narrow);
    let ask = |name: &'static str, value: &'static str| {
        send(client.post("/v1/chat/completions", &question("chat", "hi")).header(name, value))
    };
    // Another tenant's name, in any way that a gateway might read it.
    for name in ["x-tenant", "x-backstop-tenant", "x-tenant-id", "openai-organization", "x-backstop-key", "x-user-id"] {
        ask(name, "rich").await.expect(200);
    }
    ask("x-backstop-feature", "billing").await.expect(403);
    ask("x-backstop-feature", "search,billing").await.expect(400);
    let mut both = client.post("/v1/chat/completions", &question("chat", "hi"));
    both = both.header("x-backstop-feature", "search").header("x-backstop-feature", "billing");
    let both = send(both).await;
    // Another address, in any way: all of these were one address's requests, and no proxy is trusted.
    let mut statuses = Vec::new();
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip"] {
        let value = if name == "forwarded" { "for=203.0.113.9" } else { "203.0.113.9" };
        statuses.push(ask(name, value).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429], "12 requests from one address, whatever it says");
    gateway.stop();
    let used = home.json(&["usage", "--by", "tenant,feature"]);
    let rows: Vec<_> = used.as_array().into_iter().flatten().collect();
    assert!(rows.iter().all(|row| row["tenant"] == "acme" && row["feature"] == "search"), "{used:#}");
    assert!(matches!(both.status, 200 | 400 | 403), "the first is believed, or none: {both:?}");
    for seen in vendor.seen() {
        for (name, _) in &seen.headers {
            let ours = name.starts_with("x-backstop") || name.contains("tenant") || name.contains("forwarded");
            assert!(!ours, "`{name}` is not the vendor's business");
        }
    }
}
