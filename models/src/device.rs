//! What models are computed on: this machine's processor, or a GPU that this program was built for and that is there.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::catch_unwind;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use candle_core::{Error, Tensor};

/// What somebody wants models to be computed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The first GPU where there is one, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

/// What they are computed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Device {
    #[default]
    Cpu,
    Cuda(usize),
}

/// What a [`Wanted`] comes to on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub device: Device,
    /// Why it is not the one that was asked for by name.
    pub fallback: Option<String>,
}

/// More GPUs are in no machine.
const MOST_GPUS: usize = 256;

/// GPUs that were tried, and why they cannot be used. What a machine has does not change under a running program.
static TRIED: Mutex<BTreeMap<usize, Option<String>>> = Mutex::new(BTreeMap::new());

impl Wanted {
    /// The first time it tries the GPU, which takes about a second.
    pub fn choose(self) -> Chosen {
        let number = match self {
            Self::Cpu => return Chosen { device: Device::Cpu, fallback: None },
            Self::Auto => 0,
            Self::Cuda(number) => number,
        };
        match objection(number) {
            None => Chosen { device: Device::Cuda(number), fallback: None },
            Some(why) => Chosen { device: Device::Cpu, fallback: (self != Self::Auto).then_some(why) },
        }
    }
}

impl FromStr for Wanted {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
                let number = number.and_then(|rest| rest.parse().ok()).filter(|number| *number < MOST_GPUS);
                number.map(Self::Cuda).ok_or(())
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Why GPU `number` cannot be used.
fn objection(number: usize) -> Option<String> {
    if !candle_core::utils::cuda_is_available() {
        return Some("this program was built without CUDA (its feature `cuda`)".to_owned());
    }
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    let tried = tried.entry(number).or_insert_with(|| {
        // The driver's bindings panic on some of its answers.
        let tried = catch_unwind(|| multiply_on(number));
        match tried.unwrap_or_else(|_| Err(Error::Msg("its driver made the attempt panic".to_owned()))) {
            Ok(()) => None,
            Err(error) => Some(format!("GPU {number} cannot be used: {}", first_line(&error))),
        }
    });
    tried.clone()
}

/// A GPU that this program's kernels were not compiled for is found here, and not by the first caller.
fn multiply_on(number: usize) -> Result<(), Error> {
    let device = candle_core::Device::new_cuda(number)?;
    let ones = Tensor::ones((2, 2), candle_core::DType::F32, &device)?.affine(2.0, 0.0)?;
    ones.matmul(&ones)?.to_vec2::<f32>().map(drop)
}

/// candle's errors may go on with a backtrace.
fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_called_by_their_names() {
        let named =
            [("auto", Wanted::Auto), ("cpu", Wanted::Cpu), ("cuda", Wanted::Cuda(0)), ("cuda:7", Wanted::Cuda(7))];
        for (text, wanted) in named {
            assert_eq!(text.parse(), Ok(wanted));
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
        }
        for bad in ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:256", "cuda: 1", "metal"] {
            assert_eq!(bad.parse::<Wanted>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn without_a_gpu_it_is_the_cpu_and_only_who_asked_for_one_hears_why() {
        assert_eq!(Wanted::Cpu.choose(), Chosen { device: Device::Cpu, fallback: None });
        if objection(0).is_none() {
            return;
        }
        assert_eq!(Wanted::Auto.choose(), Chosen { device: Device::Cpu, fallback: None });
        let chosen = Wanted::Cuda(3).choose();
        assert_eq!(chosen.device, Device::Cpu);
        assert!(chosen.fallback.is_some_and(|why| why.contains("CUDA") || why.contains("GPU 3")));
    }
}
