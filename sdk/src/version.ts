/** Version of the contracts, checked against `engines.sdk` of plugin.json before any code of a plug-in runs. */
export const SDK_VERSION = '0.1.0';
