/** Says on port 8088 which host it believes to run on. */
import { createServer } from 'node:http';
import { hostname } from 'node:os';

createServer((_request, response) => response.end(hostname())).listen(8088, '127.0.0.1');
