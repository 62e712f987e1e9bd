-- Ring the bell of a conversation on its run queue. A node cannot wait for the queues of all partitions of a Redis
-- Cluster, so there the bell is told on the bus as well.
-- include: bus
local function ring(conversation)
  redis.call('XADD', runs, '*', 'conversation_id', conversation)
  if ON_CLUSTER == 1 then publish_message((string.gsub(runs, 'runs$', 'bells')), '') end
end
