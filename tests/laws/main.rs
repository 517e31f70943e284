//! Laws that every model, unit kind, sampler, objective and evaluator must obey. Energies and what evaluators compute
//! are held against an oracle in double precision that shares no code with the library (`reference`); what follows from
//! energies is held against them by `harmonium::laws` (`kit`), which must catch planted bugs (`teeth`). To put another
//! RBM under all of them, add a line to `cases`.

mod algebra;
mod annealed;
mod annealing_by;
mod answers;
mod belief_net;
mod boltzmann;
mod bracket;
mod cache;
#[cfg(feature = "candle")]
mod calm;
#[cfg(feature = "candle")]
mod candle;
mod cases;
mod centring;
mod clamping;
mod conditional;
mod deep;
mod density;
mod doctor;
mod documents;
mod draws;
mod energy;
mod energy_score;
mod evaluation;
mod files;
mod gauge;
mod gradient;
mod gradient_samplers;
mod hopfield;
mod hostile;
mod infer;
mod ising;
mod kinds;
mod kit;
mod label;
mod learning;
mod marginal;
mod memories;
mod memory_classes;
mod missing;
mod modern_hopfield;
mod museum;
mod negative;
mod neighbours;
mod networks;
mod neural_energy;
mod noise;
mod partition;
mod perplexity;
mod raise;
mod reference;
mod replay;
mod resume;
mod routes;
mod samples;
mod score_matching;
mod sparsity;
mod standardising;
mod sweeps;
mod teeth;
mod tempering;
mod threads;
mod tilted;
mod units;
