"""Questions to a vision-language model behind an OpenAI-compatible endpoint: sent, retried, kept, counted.

`Endpoint` of `relsim.endpoint.client` is the one way to such a server, for captions of groups and for judges.
"""
