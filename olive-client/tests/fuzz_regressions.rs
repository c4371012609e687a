//! Every input that the protocol's fuzz targets keep, run without a fuzzer.

#[expect(unreachable_pub, reason = "a part of the fuzzer's library")]
#[path = "../../fuzz/src/kept.rs"]
mod kept;
#[expect(unreachable_pub, reason = "a part of the fuzzer's library")]
#[path = "../../fuzz/src/protocol/mod.rs"]
mod protocol;

#[test]
fn every_kept_input_of_the_fuzzer_passes() {
    let requests = kept::each("protocol_request", protocol::request::run);
    let responses = kept::each("protocol_response", protocol::response::run);
    assert!(requests > 0 && responses > 0, "{requests} and {responses}");
    println!("fuzz-regressions: requests {requests}, responses {responses}, 0 bad");
}
