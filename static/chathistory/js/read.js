/* Reading a chat. */

import { begin } from "./messages.js";

begin();
