//! The readers of files under mutated valid files: no panic, and no more memory than the file's size times a small factor.
//!
//! Mutations know the structure of a file: they change a size and the bytes it speaks of together, a type, a name, an offset,
//! a number of the state; and seal what has a checksum again. Most inputs so get past magic number and header; how many is
//! printed, and asserted. `HARMONIUM_FUZZ=n` sets the number of which each reader gets its share, a million unless set;
//! the shares add up to 1.4.

mod arrays;
mod idx;
#[cfg(feature = "images")]
mod images;
mod mutate;
#[cfg(feature = "viz")]
mod report;
mod tensors;
mod texts;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How far an input came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// Refused by its magic number, its length or its header.
    Header,
    /// Refused by what the header says, or by the values.
    Content,
    /// Read.
    Whole,
}
/// A reader with the mutated files it is given.
struct Target {
    name: &'static str,
    /// Its share of the inputs.
    share: f64,
    /// Bytes that may be allocated, in all, for a file of so many.
    memory: fn(usize) -> usize,
    make: fn(&mut Xoshiro256PlusPlus) -> Vec<u8>,
    read: fn(&[u8]) -> Reached,
}

#[test]
fn no_file_makes_a_reader_panic_or_exhaust_memory() {
    let inputs: usize = std::env::var("HARMONIUM_FUZZ").map_or(1_000_000, |n| n.parse().expect("a number of inputs"));
    let (mut deep, mut all) = (0, 0);
    println!("{:24} {:>9} {:>9} {:>9} {:>9} {:>16}", "reader", "inputs", "header", "content", "whole", "memory, times");
    let targets = idx::targets().into_iter().chain(tensors::targets());
    let targets = targets.chain(arrays::targets()).chain(texts::targets());
    #[cfg(feature = "images")]
    let targets = targets.chain(images::targets());
    #[cfg(feature = "viz")]
    let targets = targets.chain(report::targets());
    for target in targets {
        let (n, mut reached, mut most) = ((inputs as f64 * target.share) as usize, [0; 3], 0f64);
        for seed in 0..n as u64 {
            let bytes = (target.make)(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
            let before = Region::new(MEMORY);
            let Ok(how) = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes))) else {
                panic!("{} panics at input {seed}: {bytes:02x?}", target.name);
            };
            let taken = before.change().bytes_allocated;
            let allowed = (target.memory)(bytes.len());
            assert!(taken <= allowed, "{} input {seed}: {taken} bytes for a file of {}", target.name, bytes.len());
            most = most.max(taken as f64 / allowed as f64);
            reached[how as usize] += 1;
        }
        let [header, content, whole] = reached;
        println!("{:24} {n:9} {header:9} {content:9} {whole:9} {most:16.2}", target.name);
        assert!(content > 0 && whole > 0, "{} is not explored", target.name);
        (deep, all) = (deep + content + whole, all + n);
    }
    println!("{all} inputs, {:.1} % of them past magic number and header", 100.0 * deep as f64 / all as f64);
    assert!(2 * deep > all, "most inputs must get past the header");
}
