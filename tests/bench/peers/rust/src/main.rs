// SPDX-License-Identifier: Apache-2.0

// peer MEASUREMENT: the hot paths and the page of rust-prometheus, as tests/bench measures ours.
// Prints one figure on its last line. Ends with 3 when it has no such measurement.
use prometheus::{
    exponential_buckets, Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, Gauge, Opts,
    Registry, TextEncoder, DEFAULT_BUCKETS,
};
use std::io::Write;
use std::time::Instant;

const VALUES: usize = 65536;

fn quick() -> bool {
    std::env::var("QUICK").map_or(false, |v| !v.is_empty())
}

fn times() -> usize {
    if quick() { 100_000 } else { 20_000_000 }
}

fn many() -> usize {
    if quick() { 10_000 } else { 1_000_000 }
}

// The generator of tests/bench/bench.h.
struct Source(u64);

impl Source {
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d049bb133111eb);
        z ^ z >> 31
    }
    fn uniform(&mut self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn lognormal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * self.uniform();
        0.1 * (1.5 * radius * angle.cos()).exp()
    }
}

// The optimiser has to have made what is kept, and all memory, by now.
fn keep<T>(what: &T) {
    unsafe { std::arch::asm!("/* {0} */", in(reg) what) }
}

// Nanoseconds of one turn of the loop, with so many threads in it.
fn per_turn<F: Fn(usize) + Sync>(threads: usize, turns: usize, turn: F) -> f64 {
    let began = Instant::now();
    std::thread::scope(|all| {
        for _ in 0..threads {
            all.spawn(|| {
                for i in 0..turns {
                    turn(i);
                }
            });
        }
    });
    began.elapsed().as_nanos() as f64 / turns as f64
}

fn counter_inc(threads: usize) -> f64 {
    let c = IntCounter::new("c", "c").unwrap();
    per_turn(threads, times(), |_| c.inc())
}

fn gauge_set() -> f64 {
    let g = Gauge::new("g", "g").unwrap();
    per_turn(1, times(), |i| {
        g.set(i as f64);
        keep(&g);
    })
}

fn gauge_add() -> f64 {
    let g = Gauge::new("g", "g").unwrap();
    per_turn(1, times(), |_| g.add(1.0))
}

fn observe(threads: usize, bounds: Vec<f64>) -> f64 {
    let mut seed = Source(1);
    let observed: Vec<f64> = (0..VALUES).map(|_| seed.lognormal()).collect();
    let h = Histogram::with_opts(HistogramOpts::new("h", "h").buckets(bounds)).unwrap();
    per_turn(threads, times() / 4, |i| h.observe(observed[i % VALUES]))
}

fn lookup(threads: usize, children: usize) -> f64 {
    let mut seed = Source(1);
    let vec = IntCounterVec::new(Opts::new("v", "v"), &["path", "method"]).unwrap();
    let paths: Vec<String> = (0..children).map(|i| format!("/api/v1/resource{}", i)).collect();
    for path in &paths {
        vec.with_label_values(&[path, "GET"]);
    }
    let keys: Vec<&str> =
        (0..VALUES).map(|_| &paths[(seed.random() % children as u64) as usize][..]).collect();
    per_turn(threads, times() / 10, |i| vec.with_label_values(&[keys[i % VALUES], "GET"]).inc())
}

fn rss() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

// The counters of tests/bench/client_fill.c: 100 families, 3 + 2 labels.
fn fill(series: usize) -> Registry {
    let mut seed = Source(1);
    let registry = Registry::new();
    for f in 0..100 {
        let opts = Opts::new(format!("dynamo_bench_requests_{:03}_total", f), "Requests served.")
            .const_label("namespace", "prod")
            .const_label("component", "backend")
            .const_label("endpoint", "generate");
        let vec = IntCounterVec::new(opts, &["model", "worker_id"]).unwrap();
        registry.register(Box::new(vec.clone())).unwrap();
        for i in 0..series / 100 {
            let r = seed.random();
            let model = format!("llama-{}-instruct", i % 10);
            let worker = format!("worker-{:05}", i / 10);
            vec.with_label_values(&[&model, &worker])
                .inc_by(r / 7 % 10u64.pow((r % 7) as u32 + 1));
        }
    }
    registry
}

// Seconds to gather and encode the second page into memory: it comes without a server.
fn scrape() -> f64 {
    let registry = fill(many());
    let mut seconds = 0.0;
    for _ in 0..2 {
        let began = Instant::now();
        let mut page = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        keep(&page);
        seconds = began.elapsed().as_secs_f64();
    }
    seconds
}

fn bytes_per_series() -> f64 {
    let before = rss();
    let registry = fill(many());
    let after = rss();
    keep(&registry);
    (after - before) / many() as f64
}

fn main() {
    let figure = match std::env::args().nth(1).unwrap_or_default().as_str() {
        "counter_inc" => counter_inc(1),
        "counter_inc_2" => counter_inc(2),
        "gauge_set" => gauge_set(),
        "gauge_add" => gauge_add(),
        "observe_11" => observe(1, DEFAULT_BUCKETS.to_vec()),
        "observe_30" => observe(1, exponential_buckets(0.001, 1.4, 30).unwrap()),
        "observe_2" => observe(2, DEFAULT_BUCKETS.to_vec()),
        "lookup_100" => lookup(1, 100),
        "lookup_10000" => lookup(1, 10000),
        "lookup_2" => lookup(2, 100),
        "scrape_1m" => scrape(),
        "bytes_per_series" => bytes_per_series(),
        _ => {
            eprintln!("not offered");
            std::process::exit(3);
        }
    };
    writeln!(std::io::stdout(), "{}", figure).unwrap();
}
