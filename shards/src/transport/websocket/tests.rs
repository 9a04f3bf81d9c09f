mod frames;
mod options;
mod upgrade;
