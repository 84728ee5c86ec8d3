// What every contestant runs under Node.js: proves that the environment is fresh, and logs one line.
let count = 0;

exports.cold = async () => {
  count += 1;
  console.log('cold', count);
  return { count, generation: process.env.BENCH_GENERATION };
};
