// A Lambda function for Node.js: says hello, and how often this environment has been used.
let count = 0;

export const handler = async (event, context) => {
  count += 1;
  console.log(`hello to ${event.name}, call ${count}`);
  return { greeting: `Hello, ${event.name}!`, call: count, memory: Number(context.memoryLimitInMB) };
};
