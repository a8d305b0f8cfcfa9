//! How an answer is drawn and ends is bound, and a certificate that does not say it holds no more.

use super::*;

impl Bench {
    /// Rewrites the statement and signs it by the key that counts.
    fn sign(&self, change: impl FnOnce(&mut Value)) {
        self.edit(change);
        let edited: Envelope = serde_json::from_slice(&fs::read(self.path()).expect("it is there")).expect("JSON");
        let payload = BASE64_STANDARD.decode(edited.payload).expect("base64");
        let sealed = Envelope::seal(&payload, &self.store().signer().expect("it has signed"));
        fs::write(self.path(), serde_json::to_vec(&sealed).expect("JSON")).expect("written");
    }
}

#[test]
fn another_generation_config_or_none_in_the_certificate_ends_it() {
    let (bench, store) = Bench::certified();
    let mut binding = bench.binding();
    if let BoundSubject::Local { generation_config, .. } = &mut binding.subject {
        *generation_config = "3c".repeat(32);
    }
    let reason = bench.refused(&binding, NOW);
    assert!(reason.contains("the generation config's digest differs: certified 9c9c9c9c9c9c…, now 3c3c"), "{reason}");
    store.check(&bench.binding(), &Trust::default(), NOW).expect("as it was it holds");
    // As certificates were before they bound it.
    bench.sign(|statement| {
        let subjects = statement["subject"].as_array_mut().expect("a list");
        subjects.retain(|subject| subject["name"] != "generation-config");
    });
    let reason = bench.refused(&bench.binding(), NOW);
    assert!(reason.contains("the generation config's digest differs: certified nothing, now 9c9c"), "{reason}");
}
