/**
 * Every code that the configuration can answer with, and what it means. One problem is thrown under its own code; several together under
 * HF_CONFIG_INVALID. In both cases `details.problems` lists them, each with line, column, code and message.
 */
export const CONFIG_ERRORS = {
  HF_CONFIG_INVALID: 'The file has several problems; each is listed with its own code, line and column.',
  HF_CONFIG_TOO_LARGE: 'The file is larger than 1 MiB.',
  HF_CONFIG_XML_MALFORMED: 'The file is not well-formed XML: a tag is not closed, a quote is missing, an attribute is repeated.',
  HF_CONFIG_DOCTYPE: 'Only a bare <!DOCTYPE name> is accepted: no internal subset, no external identifier, no <!ENTITY>.',
  HF_CONFIG_ENTITY: 'Only the entities lt, gt, amp, quot, apos and numeric character references are known; write a bare & as &amp;.',
  HF_CONFIG_ROOT: 'The file must have exactly one root element: <cluster> in cluster.xml, <safe> in userconfig.xml.',
  HF_CONFIG_ELEMENT_UNKNOWN: 'No such element is known, neither to the core nor to a plug-in.',
  HF_CONFIG_ELEMENT_NOT_SERVED:
    'The element is known, but nothing installed on this node serves it; install the plug-in named in the message.',
  HF_CONFIG_ELEMENT_MISPLACED: 'The element is known, but belongs inside another parent.',
  HF_CONFIG_ELEMENT_MISSING: 'A required child element is missing.',
  HF_CONFIG_ELEMENT_REPEATED: 'The element occurs more often than allowed.',
  HF_CONFIG_TEXT: 'Text was found where only elements are allowed.',
  HF_CONFIG_ATTRIBUTE_UNKNOWN: 'The element has no such attribute.',
  HF_CONFIG_ATTRIBUTE_MISSING: 'A required attribute is missing.',
  HF_CONFIG_NOT_SUPPORTED: 'The setting is known, but this release does not carry it out, and refuses rather than ignores it.',
  HF_CONFIG_ARCHITECTURE: 'The element belongs to modules of another mode, or watches in a role that this mode does not have.',
  HF_CONFIG_VALUE: 'The value of an attribute is not of the expected kind or not one of the allowed words.',
  HF_CONFIG_VALUE_RANGE: 'A number or duration is outside the allowed range.',
  HF_CONFIG_DURATION: 'A duration is not a number with one of the units d h m s ms us, or rounds to 0 in its unit.',
  HF_CONFIG_CONSTRAINT: 'The element breaks a rule between its own attributes or children.',
  HF_CONFIG_MACRO_UNKNOWN: 'A %NAME% is neither a macro defined above nor an environment variable.',
  HF_CONFIG_MACRO_TOO_LARGE: 'Macros expand to more text than allowed.',
  HF_CONFIG_NAME_DUPLICATE: 'Two things that need different names have the same one.',
  HF_CONFIG_ADDRESS: 'The address is not a usable IP literal; host names are refused because a failover must not wait for name resolution.',
  HF_CONFIG_ADDRESS_DUPLICATE: 'One address is used twice in the cluster.',
  HF_CONFIG_LAN_NODES: 'The networks of the cluster do not list the same nodes.',
  HF_CONFIG_LAN_COMMAND: 'More than one network has command="on".',
  HF_CONFIG_LAN_UNKNOWN: 'A heartbeat or farm names a network that cluster.xml does not have.',
  HF_CONFIG_NODE_UNKNOWN: 'A node is named that cluster.xml does not have.',
  HF_CONFIG_MIRROR_NODES: 'A mirror module runs on exactly two nodes.',
  HF_CONFIG_FARM_NODES: 'A farm module runs on two to eight nodes.',
  HF_CONFIG_FARM_MISSING: 'A farm module needs <farm> with at least one <lan>.',
  HF_CONFIG_HEART_MISSING: 'A mirror module needs <heart> with at least one <heartbeat>.',
  HF_CONFIG_HEART_TIMING:
    'The heartbeat timeout must be at least four pulses, so that one lost datagram is not a lost node; a farm gives its leader up last.',
  HF_CONFIG_ADDRESS_LEASE:
    'A virtual address would outlive its agent longer than the peer waits; <vip overlap="accept"> accepts that both nodes answer for it.',
  HF_CONFIG_PORT_CONFLICT: 'Two services of this node would use the same port.',
  HF_CONFIG_MODULE_NAME: 'The module name has characters that a folder or resource name must not have.',
  HF_CONFIG_MODULE_ID: 'The module id must be a whole number in the range for which ports are reserved.',
  HF_CONFIG_RULE_SYNTAX: 'A failover rule cannot be read; the message says what is expected at this place.',
  HF_CONFIG_RULE_UNKNOWN: 'A failover rule names an action, a state, a class of resources or another rule that does not exist.',
  HF_CONFIG_RULE_NOT_SUPPORTED:
    'What is written in <failover> is known, but is not carried out: assignments, Lua beyond rules, other limits of rules.',
  HF_CONFIG_RULE_CONTRADICTION: 'Two failover rules want different things under the same condition.',
  HF_CONFIG_RULE_LIMIT: 'There are more, longer or deeper nested failover rules than allowed.',
  HF_CONFIG_REFUSED: 'The plug-in that serves the element refuses it; its own code and sentence follow.',
  HF_CONFIG_SCHEMA: 'A plug-in describes its element with a JSON schema that cannot be used.',
} as const satisfies Readonly<Record<string, string>>;

export type ConfigErrorCode = keyof typeof CONFIG_ERRORS;
