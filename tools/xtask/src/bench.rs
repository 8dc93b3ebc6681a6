//! `bench`: figures beside other runtimes.

use anyhow::Result;

#[derive(clap::Args)]
pub struct Arguments {
    /// Runs per figure
    #[arg(long, default_value_t = 30)]
    pub runs: usize,
}

pub fn bench(_arguments: &Arguments) -> Result<()> {
    Ok(())
}
